import type { GroupedBy, QueueGroup, QueueGroups } from '#services/console/schemas/queue.ts';
import { html, useState } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { countText } from '../../kit/format.ts';
import { Card, Figure, Figures, PageHead, shown } from '../../kit/layout.ts';
import { Moment, Time } from '../../kit/time.ts';
import { useNow } from '../../state/clock.ts';
import { useData } from '../../state/data.ts';
import { mayChangeAll, useSession } from '../../state/session.ts';
import type { BulkOperation } from './bulk-change.ts';
import { BulkDialog, TITLES } from './bulk-dialog.ts';
import { DirectiveDialog } from './directive-dialog.ts';
import { DirectiveLine } from './directives.ts';
import { filterOf, mailText, messagesHref } from './groups.ts';
import { Next } from './list.ts';

/** One group of waiting mail: why it waits, and what can be done with all of it. */

const EVERY_MS = 10_000;

type Props = { by: GroupedBy; name: string };

export function Destination({ by, name }: Props) {
  const filter = filterOf(by, name);
  const loaded = useData<QueueGroups>(
    'destinations',
    { by, ...filter, ...(by === 'sender' && { sender: name }) },
    EVERY_MS,
  );
  return html`
    <p class="back"><a href=${`/destinations?by=${by}`}>All ${BACK[by]}</a></p>
    <${PageHead} title=${name} />
    ${shown(loaded, (data) => html`<${Group} by=${by} name=${name} data=${data} reload=${loaded.reload} />`)}
  `;
}

const BACK: Record<GroupedBy, string> = {
  destination: 'destinations',
  reply: 'replies',
  sender: 'senders',
  hold: 'holders',
  node: 'nodes',
};

function Group({ by, name, data, reload }: Props & { data: QueueGroups; reload: () => Promise<void> }) {
  const group = data.groups.find(({ key }) => key === name);
  const canChange = mayChangeAll(useSession());
  const href = messagesHref(by, name);
  const directives = data.directives.filter(
    ({ about, name: one }) => about === 'domain' && by === 'destination' && isUnder(name, one),
  );
  return html`
    ${group === undefined ? html`<${Note} tone="good" title="Nothing waits here now.">Mail comes and goes: it may have left while you looked.<//>` : html`<${State} group=${group} />`}
    ${directives.length > 0 && html`<${Card} title="Suspended and redirected"><ul class="directives">${directives.map((one) => html`<li key=${one.kind}><${DirectiveLine} directive=${one} reload=${reload} /></li>`)}</ul><//>`}
    ${canChange && html`<${Actions} by=${by} name=${name} reload=${reload} />`}
    ${group !== undefined && href !== undefined && html`<p><a href=${href}>See its messages</a></p>`}
  `;
}

const isUnder = (domain: string, above: string): boolean => domain === above || domain.endsWith(`.${above}`);

function State({ group }: { group: QueueGroup }) {
  const { messages, held, oldest, backoff, last } = group;
  const now = useNow();
  return html`
    <${Figures}>
      <${Figure} label="Messages" value=${countText(messages)} />
      <${Figure} label="Held" value=${countText(held)} tone=${held > 0 ? 'warn' : ''} />
      <${Figure} label="Oldest" value=${html`<${Time} at=${oldest} />`} />
      <${Figure} label="Next attempt" value=${html`<${Next} group=${group} />`} />
    <//>
    ${
      backoff !== undefined &&
      backoff.until > now &&
      html`<${Note} tone="warn" title=${html`${backoff.nextHop} cannot be reached, and is left alone until <${Moment} at=${backoff.until} /> (<${Time} at=${backoff.until} />).`}>
        Tried last <${Time} at=${backoff.at} />${backoff.host !== undefined && ` at ${backoff.host}`}: <q class="said">${backoff.reply}</q>
      <//>`
    }
    ${
      last !== undefined &&
      html`<${Note} tone="info" title="The last word">
        <${Time} at=${last.at} />${last.host !== undefined && ` from ${last.host}`}: <q class="said">${last.reply}</q>
      <//>`
    }
  `;
}

const OPERATIONS: readonly BulkOperation[] = ['retry', 'hold', 'release', 'reroute', 'bounce', 'remove'];

function Actions({ by, name, reload }: Props & { reload: () => Promise<void> }) {
  const [bulk, setBulk] = useState<BulkOperation | undefined>(undefined);
  const [directive, setDirective] = useState<'suspend' | 'redirect' | undefined>(undefined);
  const filter = filterOf(by, name);
  return html`
    ${
      filter !== undefined &&
      html`<${Card} title="All of this mail">
        <p class="soft">Each counts first, and asks before it does anything.</p>
        <div class="actions bulk-actions">
          ${OPERATIONS.map(
            (operation) =>
              html`<button key=${operation} type="button" class=${operation === 'remove' ? 'danger' : ''} onClick=${() => setBulk(operation)}>${TITLES[operation]} …</button>`,
          )}
        </div>
      <//>`
    }
    ${
      by === 'destination' &&
      html`<${Card} title="From now on">
        <p class="soft">What all nodes do with mail to ${name}, for a time.</p>
        <div class="actions bulk-actions">
          <button type="button" onClick=${() => setDirective('suspend')}>Suspend …</button>
          <button type="button" onClick=${() => setDirective('redirect')}>Redirect …</button>
        </div>
      <//>`
    }
    ${bulk && filter && html`<${BulkDialog} key=${bulk} operation=${bulk} filter=${filter} what=${mailText(by, name)} onClose=${() => setBulk(undefined)} after=${reload} />`}
    ${directive && html`<${DirectiveDialog} domain=${name} kind=${directive} onClose=${() => setDirective(undefined)} after=${reload} />`}
  `;
}
