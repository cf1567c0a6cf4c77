import type { Directive, DirectiveReply } from '#services/console/schemas/queue.ts';
import { html } from '/vendor/preact.js';
import { Badge } from '../../kit/badge.ts';
import { ActionButton } from '../../kit/dialog.ts';
import { listText } from '../../kit/format.ts';
import { Card } from '../../kit/layout.ts';
import { Time } from '../../kit/time.ts';
import { complain } from '../../kit/toast.ts';
import { post } from '../../state/api.ts';
import { mayChangeAll, useSession } from '../../state/session.ts';

/** What operators have told all routers: what is suspended and redirected. */

export function Directives({ directives, reload }: { directives: readonly Directive[]; reload: () => Promise<void> }) {
  return (
    directives.length > 0 &&
    html`<${Card} title="Suspended and redirected">
      <ul class="directives">
        ${directives.map((one) => html`<li key=${`${one.kind} ${one.about} ${one.name}`}><${DirectiveLine} directive=${one} reload=${reload} /></li>`)}
      </ul>
    <//>`
  );
}

export function DirectiveLine({ directive, reload }: { directive: Directive; reload: () => Promise<void> }) {
  const { kind, about, name, via, until, by, reason } = directive;
  const canChange = mayChangeAll(useSession());
  const isSuspended = kind === 'suspend';
  return html`
    <span>
      <${Badge} tone=${isSuspended ? 'warn' : 'info'}>${isSuspended ? 'suspended' : 'redirected'}<//>
      ${' '}mail ${ABOUT[about]} <strong>${name}</strong>${via !== undefined && html` to <strong>${via}</strong>`}
      <span class="soft">, ends <${Time} at=${until} />, by ${by}${reason !== undefined && `: ${reason}`}</span>
    </span>
    ${
      canChange &&
      html`<${ActionButton} kind="small" label=${isSuspended ? 'Resume' : 'End'} describe=${`${isSuspended ? 'Resume' : 'End the redirect of'} mail ${ABOUT[about]} ${name}`}
        run=${() => endDirective(directive)} done=${isSuspended ? `Mail ${ABOUT[about]} ${name} is resumed.` : `Mail to ${name} goes where its routes say.`} after=${reload} />`
    }
  `;
}

const ABOUT: Record<Directive['about'], string> = { domain: 'to', sender: 'sent by', destination: 'at the next hop' };

async function endDirective({ kind, about, name }: Directive): Promise<void> {
  tellLacking(await post<DirectiveReply>('directives/end', { kind, about, name }));
}

/** Nodes that have not heard of it follow later: until then their mail goes on as before. */
export function tellLacking({ lacking }: DirectiveReply): void {
  if (lacking.length > 0)
    complain(new Error(`${listText(lacking)} has not heard of it yet, and follows when it does.`));
}
