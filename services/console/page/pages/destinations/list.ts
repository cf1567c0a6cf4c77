import type { GroupedBy, QueueGroup, QueueGroups } from '#services/console/schemas/queue.ts';
import { html, useMemo, useState } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { Choice } from '../../kit/form.ts';
import { countText, durationText, listText } from '../../kit/format.ts';
import { Icon } from '../../kit/icon.ts';
import { Card, Empty, Figure, Figures, PageHead, shown } from '../../kit/layout.ts';
import { type Column, Table } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';
import { useNow } from '../../state/clock.ts';
import { useData } from '../../state/data.ts';
import type { PageProps } from '../../state/router.ts';
import { setQuery } from '../../state/router.ts';
import { mayChangeAll, useSession } from '../../state/session.ts';
import { Bars } from './bars.ts';
import { DirectiveDialog } from './directive-dialog.ts';
import { Directives } from './directives.ts';
import { GROUPED_BY, groupHref } from './groups.ts';

/** All groups of waiting mail, the largest first. */

/** Counting reads every queue: it is repeated so often that it takes a small part of the time. */
const EVERY_MS = 10_000;
const SHARE = 30;

export function DestinationList({ query }: Pick<PageProps, 'query'>) {
  const by = GROUPED_BY.map(([one]) => one).find((one) => one === query.get('by')) ?? 'destination';
  const [took, setTook] = useState(0);
  const loaded = useData<QueueGroups>('destinations', { by }, Math.max(EVERY_MS, SHARE * took));
  if (loaded.data !== undefined && Math.abs(loaded.data.took - took) > took / 2 + 100) setTook(loaded.data.took);
  // What is by something else is not shown under this title.
  const data = loaded.data?.by === by ? loaded.data : undefined;
  const [asking, setAsking] = useState(false);
  const session = useSession();
  const canChange = mayChangeAll(session);
  return html`
    <${PageHead} title="Destinations" actions=${html`
      ${canChange && html`<button type="button" onClick=${() => setAsking(true)}>Suspend or redirect …</button>`}
      <button type="button" onClick=${() => void loaded.reload()}><${Icon} name="refresh" />Count again</button>
    `}>
      What waits in the queues of all nodes${session.domains === undefined ? '' : ', from and to your domains'}: for whom, since when, and why.
    <//>
    <${Choice} label="Grouped by" value=${by} options=${GROUPED_BY} onValue=${(value: GroupedBy) => setQuery({ by: value })} />
    ${shown({ ...loaded, data }, (groups) => html`<${Groups} data=${groups} reload=${loaded.reload} />`)}
    ${asking && html`<${DirectiveDialog} onClose=${() => setAsking(false)} after=${loaded.reload} />`}
  `;
}

function Groups({ data, reload }: { data: QueueGroups; reload: () => Promise<void> }) {
  const { by, groups, total, directives, silent } = data;
  const columns = useMemo(() => columnsOf(by), [by]);
  return html`
    ${
      silent.length > 0 &&
      html`<${Note} tone="warn" title=${`The queues of ${listText(silent.map(({ node }) => node))} are not counted`}>
      ${silent.map(({ node, error }) => html`<div key=${node}>${node}: ${error}</div>`)}
    <//>`
    }
    <${Directives} directives=${directives} reload=${reload} />
    ${
      groups.length === 0
        ? html`<${Empty} title=${by === 'hold' ? 'Nothing is held.' : 'Nothing waits: the queues are empty.'} />`
        : html`
          <${Totals} data=${data} />
          ${groups.length > 1 && html`<${Card} title="The longest queues"><${Bars} by=${by} groups=${groups} /><//>`}
          <${Table} label="Waiting mail" rows=${groups} columns=${columns} total=${groups.length} rowKey=${({ key }: QueueGroup) => key}
            href=${(group: QueueGroup) => groupHref(by, group)} card=${(group: QueueGroup) => html`<${CardRow} group=${group} />`} />
          ${total.groups > groups.length && html`<p class="soft">The ${countText(groups.length)} largest of ${countText(total.groups)} are shown.</p>`}
        `
    }
  `;
}

const NAMES: Record<GroupedBy, string> = {
  destination: 'Destination',
  reply: 'Last reply',
  sender: 'Sender',
  hold: 'Held by',
  node: 'Node',
};

function Totals({ data: { by, groups, total } }: { data: QueueGroups }) {
  const now = useNow();
  const held = groups.reduce((sum, group) => sum + group.held, 0);
  const off = groups.filter(({ backoff }) => backoff !== undefined && backoff.until > now).length;
  const oldest = Math.min(...groups.map((group) => group.oldest));
  return html`<${Figures}>
    <${Figure} label="Messages" value=${countText(total.messages)}>in all queues<//>
    <${Figure} label="Held" value=${countText(held)} tone=${held > 0 ? 'warn' : ''}>until released<//>
    <${Figure} label=${`By ${NAMES[by].toLowerCase()}`} value=${countText(total.groups)}>${total.groups === 1 ? 'group' : 'groups'}<//>
    ${(by === 'destination' || by === 'reply') && html`<${Figure} label="Left alone" value=${countText(off)} tone=${off > 0 ? 'warn' : ''}>cannot be reached for now<//>`}
    <${Figure} label="Oldest" value=${durationText(now - oldest)}>in a queue<//>
  <//>`;
}

function columnsOf(by: GroupedBy): Column<QueueGroup>[] {
  const name: Column<QueueGroup> = {
    title: NAMES[by],
    ...(by === 'reply' ? {} : { width: 16 }),
    cell: ({ key }) => key,
    by: ({ key }) => key,
  };
  const figures: Column<QueueGroup>[] = [
    {
      title: 'Messages',
      width: 7,
      numeric: true,
      cell: ({ messages }) => countText(messages),
      by: (one) => one.messages,
    },
    {
      title: 'Held',
      width: 5.5,
      numeric: true,
      cell: ({ held }) => (held === 0 ? '' : countText(held)),
      by: ({ held }) => held,
    },
    { title: 'Oldest', width: 8, cell: ({ oldest }) => html`<${Time} at=${oldest} />`, by: ({ oldest }) => oldest },
    { title: 'Next attempt', width: 9, cell: (group) => html`<${Next} group=${group} />`, by: ({ next }) => next },
  ];
  if (by === 'hold') return [name, ...figures.filter(({ title }) => title !== 'Held' && title !== 'Next attempt')];
  if (by === 'node' || by === 'sender') return [name, ...figures];
  const why: Column<QueueGroup> = {
    title: 'Why',
    ...(by === 'reply' ? { width: 16 } : {}),
    cell: (group) => html`<${Why} group=${group} />`,
  };
  return [name, ...figures, why];
}

export function Next({ group: { next, messages, held, suspended } }: { group: QueueGroup }) {
  const now = useNow();
  if (suspended !== undefined) return html`<${Badge} tone="warn">suspended<//>`;
  if (next === undefined) return messages === held ? 'held' : '–';
  return next <= now ? 'now' : html`<${Time} at=${next} />`;
}

/** Why the mail waits: what operators said, the back-off of its next hop, the last reply. */
function Why({ group: { redirected, backoff, last } }: { group: QueueGroup }) {
  const now = useNow();
  const isOff = backoff !== undefined && backoff.until > now;
  const said = isOff ? backoff : last;
  return html`
    ${redirected !== undefined && html`<${Badge} tone="info">redirected<//> `}
    ${isOff && html`<${Badge} tone="warn">left alone<//> `}
    ${said !== undefined && html`<span title=${`${said.host ?? ''} ${said.reply}`}>${said.reply}</span>`}
  `;
}

function CardRow({ group }: { group: QueueGroup }) {
  const { key, messages, oldest } = group;
  return html`
    <span class="card-line"><span>${key}</span><b class="figure">${countText(messages)}</b></span>
    <span class="card-line soft"><span>oldest <${Time} at=${oldest} /></span><span>next <${Next} group=${group} /></span></span>
  `;
}
