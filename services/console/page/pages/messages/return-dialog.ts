import { html, useState } from '/vendor/preact.js';
import { FormDialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';

/** Ask for the reason that senders read in the non-delivery report. `what`: `message 3F2A`. */
export function ReturnDialog({
  what,
  onClose,
  run,
}: {
  what: string;
  onClose: () => void;
  run: (reason: string) => Promise<unknown>;
}) {
  const [reason, setReason] = useState('');
  return html`<${FormDialog} title=${`Return ${what} to the sender?`} verb="Return" danger onClose=${onClose} submit=${() => run(reason.trim())}>
    <p>It leaves the queue now, and its sender gets a non-delivery report. This cannot be taken back.</p>
    <${TextField} label="Reason" value=${reason} onValue=${setReason} hint="Optional. The sender reads it in the report." />
  <//>`;
}
