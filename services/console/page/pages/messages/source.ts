import type { MessageText } from '#services/console/schemas/messages.ts';
import { html, useState } from '/vendor/preact.js';
import { bytesText } from '../../kit/format.ts';
import { Card } from '../../kit/layout.ts';
import { complain } from '../../kit/toast.ts';
import { get, segment } from '../../state/api.ts';

/** The text of a message, once somebody asks for it: as text, whatever it claims to be. */
export function MessageSource({ id }: { id: string }) {
  const [parts, setParts] = useState<readonly MessageText[]>([]);
  const [busy, setBusy] = useState(false);
  const last = parts.at(-1);
  const read = async (): Promise<void> => {
    if (busy) return;
    setBusy(true);
    try {
      const part = await get<MessageText>(`messages/${segment(id)}/text`, { from: last?.next });
      setParts([...parts, part]);
    } catch (error) {
      complain(error);
    }
    setBusy(false);
  };
  const more = last?.next;
  return html`<${Card} title="Text" actions=${last !== undefined && html`<span class="soft">${bytesText(last.total)}</span>`}>
    ${
      last === undefined
        ? html`<p class="soft">What people wrote to each other. That you read it goes into the audit log.</p>
          <button type="button" onClick=${read} aria-disabled=${busy}>Show the text</button>`
        : html`<pre class="source" tabindex="0" role="group" aria-label="Text of the message">${parts.map(({ text }) => text).join('')}</pre>`
    }
    ${more !== undefined && html`<button type="button" onClick=${read} aria-disabled=${busy}>Show more, from ${bytesText(more)} on</button>`}
  <//>`;
}
