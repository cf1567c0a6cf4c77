import type { MessageReply } from '#services/console/schemas/messages.ts';
import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Prose, Waiting } from '../../kit/layout.ts';
import { problemText, segment } from '../../state/api.ts';
import { useLive } from '../../state/stream.ts';
import { MailBadge, toneOf } from '../messages/states.ts';
import { Timeline } from '../messages/timeline.ts';

/** What becomes of a message, as it happens. */

export function Journey({ id }: { id: string }) {
  const { data } = useLive<{ told?: MessageReply; problem?: string }>('message', { message: id });
  return html`<div class="stack">
    ${data === undefined && html`<${Waiting} />`}
    ${data?.problem !== undefined && html`<${Note} tone="warn" title=${problemText(data.problem)} />`}
    ${data?.told !== undefined && html`<${Told} message=${data.told} />`}
    <p><a href=${`/messages/${segment(id)}`}>All about message ${id}</a></p>
  </div>`;
}

function Told({ message: { state, sentence, steps, recipients } }: { message: MessageReply }) {
  const tone = toneOf(state);
  return html`
    <div class="why" role="status">
      <${Note} tone=${tone === 'wait' ? 'info' : tone} title=${html`<${Prose} text=${sentence} />`}><${MailBadge} state=${state} /><//>
    </div>
    <${Timeline} steps=${steps} several=${recipients.length > 1} />
    ${recipients.flatMap(({ address, notes }) =>
      notes.map((note) => html`<p key=${`${address} ${note}`} class="soft break">${address}: ${note}</p>`),
    )}
  `;
}
