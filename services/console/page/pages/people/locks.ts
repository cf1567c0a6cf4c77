import type { LockShown, LocksReply } from '#services/console/schemas/people.ts';
import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { ActionButton } from '../../kit/dialog.ts';
import { plural } from '../../kit/format.ts';
import { Empty, shown } from '../../kit/layout.ts';
import { Time } from '../../kit/time.ts';
import { post } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChange, useSession } from '../../state/session.ts';

/** What locks log-ins after too many failures. */

export function Locks() {
  const locks = useData<LocksReply>('locks', {}, 3000);
  return shown(locks, (reply) => html`<${All} ...${reply} reload=${locks.reload} />`);
}

function All({ locks, more, silent, reload }: LocksReply & { reload: () => unknown }) {
  const changes = mayChange(useSession());
  return html`
    ${silent.map(({ node, reason }) => html`<${Note} key=${node} tone="warn" title=${`The locks that only ${node} knows are not listed: ${reason}.`} />`)}
    ${
      locks.length === 0
        ? html`<${Empty} title="Nothing is locked">After too many wrong passwords a user, a network, or a user from a network is locked for a while.<//>`
        : html`<div class="plain-table"><table>
            <caption class="unseen">Locks</caption>
            <thead><tr><th scope="col">User</th><th scope="col">Network</th><th scope="col">Failures</th><th scope="col">Opens</th><th scope="col">Known to</th><th scope="col"><span class="unseen">Change</span></th></tr></thead>
            <tbody>${locks.map(
              (lock) => html`<tr key=${nameOf(lock)}>
                <th scope="row">${lock.user ?? 'any'}</th>
                <td>${lock.network ?? 'any'}</td>
                <td>${lock.failures} (limit ${lock.limit.count})</td>
                <td><${Time} at=${lock.opens} /></td>
                <td class="soft">${lock.nodes.join(', ')}</td>
                <td>${changes && html`<${Lift} lock=${lock} after=${reload} />`}</td>
              </tr>`,
            )}</tbody>
          </table></div>`
    }
    ${more > 0 && html`<p class="soft">… and ${plural(more, 'other lock')}</p>`}
  `;
}

const nameOf = ({ user, network }: LockShown): string =>
  [user ?? 'any user', network && `from ${network}`].filter(Boolean).join(' ');

function Lift({ lock, after }: { lock: LockShown; after: () => unknown }) {
  const { user, network } = lock;
  const name = nameOf(lock);
  const run = (): Promise<unknown> => post('locks/lift', { ...(user && { user }), ...(network && { network }) });
  return html`<${ActionButton} label="Lift" describe=${`Lift the lock of ${name}`} kind="small" run=${run} after=${after} done=${`The lock of ${name} is lifted.`} confirm=${{
    title: `Lift the lock of ${name}?`,
    text: 'Passwords are looked at again on all nodes, and failures count from nothing. Where somebody guesses, find out who before.',
    verb: 'Lift the lock',
  }} />`;
}
