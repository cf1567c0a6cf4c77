import type { FoundRow } from '#services/console/schemas/messages.ts';
import { html, useState } from '/vendor/preact.js';
import { confirmed } from '../../kit/dialog.ts';
import { plural } from '../../kit/format.ts';
import { complain, say } from '../../kit/toast.ts';
import { changeNamed, DONE, LABELS, type Operation, questionOf } from './changes.ts';
import { ReturnDialog } from './return-dialog.ts';

/** What is done with the messages that are selected; nothing while none is. */

type SelectionProps = { rows: readonly FoundRow[]; clear: () => void; after: () => void };

export function SelectionBar({ rows, clear, after }: SelectionProps) {
  const [busy, setBusy] = useState(false);
  const [returning, setReturning] = useState(false);
  if (rows.length === 0) return undefined;
  const ids = rows.flatMap(({ id }) => id ?? []);
  const what = plural(rows.length, 'message');
  const run = async (operation: Operation, reason?: string): Promise<void> => {
    const count = await changeNamed(operation, ids, reason);
    say(`${plural(count, 'message')} ${DONE[operation]}.`);
    after();
  };
  const click = async (operation: Operation): Promise<void> => {
    if (busy) return;
    const question = questionOf(operation, what);
    if (operation === 'bounce') {
      setReturning(true);
      return;
    }
    if (question !== undefined && !(await confirmed(question))) return;
    setBusy(true);
    await run(operation).catch((error: unknown) => {
      complain(error);
      after();
    });
    setBusy(false);
  };
  const held = rows.filter(({ state }) => state === 'held').length;
  const offered: Operation[] = [
    ...(held < rows.length ? (['retry', 'hold'] as const) : []),
    ...(held > 0 ? (['release'] as const) : []),
    'bounce',
    'remove',
  ];
  return html`<div class="selection" role="group" aria-label="Selected messages">
    <strong>${what} selected</strong>
    <div class="actions">
      ${offered.map(
        (
          operation,
        ) => html`<button key=${operation} type="button" class=${operation === 'remove' ? 'danger small' : 'small'} aria-disabled=${busy} onClick=${() => void click(operation)}>
          ${LABELS[operation]}
        </button>`,
      )}
      <button type="button" class="small quiet" onClick=${clear}>Clear the selection</button>
    </div>
    ${returning && html`<${ReturnDialog} what=${what} onClose=${() => setReturning(false)} run=${(reason: string) => run('bounce', reason)} />`}
  </div>`;
}
