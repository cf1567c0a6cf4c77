import type { UserListReply } from '#services/console/schemas/people.ts';
import { html, useState } from '/vendor/preact.js';
import { Badge } from '../../kit/badge.ts';
import { ActionButton, FormDialog } from '../../kit/dialog.ts';
import { TextField } from '../../kit/form.ts';
import { Time } from '../../kit/time.ts';
import { put, remove, segment } from '../../state/api.ts';
import type { FormProps } from './fields.ts';

/** Users who log in nowhere. */

type Block = UserListReply['blocked'][number];

/** Without `name` it is asked for: that of a user who is not listed. */
export function BlockUser({ name: given, onClose, after }: FormProps & { name?: string }) {
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const name = given ?? typed.trim();
  const submit = async (): Promise<void> => {
    await put(`blocks/${segment(name)}`, { reason: reason.trim() });
    after();
  };
  return html`<${FormDialog} title=${given === undefined ? 'Block a user' : `Block ${name}?`} verb="Block the user" danger onClose=${onClose} submit=${submit} done=${`${name} is blocked on all nodes.`}>
    <p>No password of the user is right any more, on all nodes, and sessions that are open send nothing more. Mail for the user still arrives.</p>
    ${given === undefined && html`<${TextField} label="Name" value=${typed} onValue=${setTyped} required hint="With which the user logs in, wherever the user is listed." />`}
    <${TextField} label="Reason" value=${reason} onValue=${setReason} hint="For administrators and the log: clients do not learn it." />
  <//>`;
}

export function Unblock({ name, small, after }: { name: string; small?: boolean; after: () => unknown }) {
  return html`<${ActionButton} label="Unblock" describe=${`Unblock ${name}`} kind=${small ? 'small' : undefined} run=${() => remove(`blocks/${segment(name)}`)} after=${after} done=${`${name} can log in again.`} confirm=${{
    title: `Unblock ${name}?`,
    text: 'The passwords of the user are right again on all nodes. Where one was stolen, set another one before.',
    verb: 'Unblock the user',
  }} />`;
}

export function Blocked({ reason }: { reason?: string | undefined }) {
  return html`<${Badge} tone="bad" title=${reason}>blocked<//>`;
}

type OthersProps = { blocks: readonly Block[]; changes: boolean; after: () => unknown };

/** Those who are blocked and not listed: of LDAP, of users files of other nodes, or of nobody now. */
export function OtherBlocks({ blocks, changes, after }: OthersProps) {
  if (blocks.length === 0) return undefined;
  return html`
    <h2>Blocked, and not listed here</h2>
    <div class="plain-table"><table>
      <caption class="unseen">Blocked, and not listed here</caption>
      <thead><tr><th scope="col">User</th><th scope="col">Since</th><th scope="col">Reason</th><th scope="col"><span class="unseen">Change</span></th></tr></thead>
      <tbody>${blocks.map(
        ({ name, since, reason }) => html`<tr key=${name}>
          <th scope="row">${name}</th>
          <td>${since !== undefined && html`<${Time} at=${since} />`}</td>
          <td class="break">${reason}</td>
          <td>${changes && html`<${Unblock} name=${name} small after=${after} />`}</td>
        </tr>`,
      )}</tbody>
    </table></div>
  `;
}
