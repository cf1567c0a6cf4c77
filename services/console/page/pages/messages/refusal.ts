import type { FoundRow } from '#services/console/schemas/messages.ts';
import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Dialog } from '../../kit/dialog.ts';
import { Facts, Prose } from '../../kit/layout.ts';

/** Why a mail was refused at the door: it has no page, since it was never ours. */
export function RefusalDialog({ row, onClose }: { row: FoundRow; onClose: () => void }) {
  const { sentence = '', facts = [] } = row.refusal ?? {};
  return html`<${Dialog} title="Refused at the door" wide onClose=${onClose}>
    <div class="dialog-form">
      <${Note} tone="bad" title=${html`<${Prose} text=${sentence} />`} />
      <${Facts} rows=${facts} />
      <footer class="dialog-foot"><button type="button" onClick=${onClose}>Close</button></footer>
    </div>
  <//>`;
}
