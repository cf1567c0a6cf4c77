import type { UserListed } from '#services/console/schemas/people.ts';
import { html, useState } from '/vendor/preact.js';
import { ActionButton } from '../../kit/dialog.ts';
import { Card, Empty, Facts, PageHead, shown } from '../../kit/layout.ts';
import { Time } from '../../kit/time.ts';
import { remove, segment } from '../../state/api.ts';
import { type Loaded, useData } from '../../state/data.ts';
import { go } from '../../state/router.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { BlockUser, Unblock } from './blocking.ts';
import { AddAppPassword, SetAddresses, SetPassword } from './forms.ts';
import { Login } from './users.ts';

/** A user of the cluster's directory: addresses, password and app passwords. */

const FORMS = { password: SetPassword, addresses: SetAddresses, app: AddAppPassword };
type Form = keyof typeof FORMS | 'block';

export function OneUser({ name }: { name: string }) {
  const found: Loaded<UserListed> = useData<UserListed>(`users/${segment(name)}`, {}, 10_000);
  const [open, setOpen] = useState<Form | undefined>(undefined);
  const user = found.data;
  const close = (): void => setOpen(undefined);
  const changes = mayChange(useSession()) && user !== undefined;
  const actions =
    changes &&
    html`
      <button type="button" onClick=${() => setOpen('addresses')}>Change addresses</button>
      <button type="button" onClick=${() => setOpen('password')}>Set a password</button>
      ${
        user.blocked === undefined
          ? html`<button type="button" onClick=${() => setOpen('block')}>Block</button>`
          : html`<${Unblock} name=${user.name} after=${found.reload} />`
      }
      <${ActionButton} label="Remove" kind="danger" run=${() => remove(`users/${segment(name)}`)} done=${`${name} is removed.`} after=${() => go('/people')} confirm=${{
        title: `Remove ${name}?`,
        text: 'No password of the user is right any more, on all nodes, and mail for the addresses is refused unless another entry has them. Aliases that lead to them stay.',
        verb: 'Remove the user',
        danger: true,
        typed: name,
      }} />
    `;
  return html`
    <${PageHead} title=${name} actions=${actions}><a href="/people">All users</a><//>
    ${shown(found, (one) => html`<${Shown} user=${one} changes=${changes} reload=${found.reload} add=${() => setOpen('app')} />`)}
    ${open === 'block' && user && html`<${BlockUser} name=${user.name} onClose=${close} after=${found.reload} />`}
    ${open && open !== 'block' && user && html`<${FORMS[open]} user=${user} onClose=${close} after=${found.reload} />`}
  `;
}

type ShownProps = { user: UserListed; changes: boolean; reload: () => unknown; add: () => void };

function Shown({ user, changes, reload, add }: ShownProps) {
  const { name, addresses, onBehalfOf, appPasswords, blocked } = user;
  const button = changes && html`<button type="button" onClick=${add}>Make an app password</button>`;
  return html`
    <${Card} title="User">
      <${Facts} rows=${[
        ['Log-in', html`<${Login} ...${user} />`],
        ['Blocked since', blocked?.since !== undefined && html`<${Time} at=${blocked.since} />`],
        ['Why', blocked?.reason ? html`<span class="break">${blocked.reason}</span>` : undefined],
        ['Addresses', addresses.length === 0 ? 'none' : html`<span class="break">${addresses.join(', ')}</span>`],
        [
          'On behalf of',
          onBehalfOf.length === 0 ? undefined : html`<span class="break">${onBehalfOf.join(', ')}</span>`,
        ],
        ['Kept in', 'the directory of the cluster'],
      ]} />
    <//>
    <${Card} title="App passwords" actions=${button}>
      ${
        appPasswords.length === 0
          ? html`<${Empty} title="No app passwords">Each is for one program, and can be revoked without the others.<//>`
          : html`<div class="plain-table"><table>
              <caption class="unseen">App passwords</caption>
              <thead><tr><th scope="col">Name</th><th scope="col">Begins</th><th scope="col">Made</th><th scope="col">Last used</th><th scope="col">From</th><th scope="col"><span class="unseen">Change</span></th></tr></thead>
              <tbody>${appPasswords.map(
                (one) => html`<tr key=${one.tag}>
                  <th scope="row">${one.name}</th>
                  <td><code>${one.tag}</code></td>
                  <td><${Time} at=${one.created} /></td>
                  <td>${one.lastUsed ?? 'never'}</td>
                  <td>${one.networks.length === 0 ? 'anywhere' : one.networks.join(', ')}</td>
                  <td>${changes && html`<${Revoke} user=${name} name=${one.name} after=${reload} />`}</td>
                </tr>`,
              )}</tbody>
            </table></div>`
      }
    <//>
  `;
}

function Revoke({ user, name, after }: { user: string; name: string; after: () => unknown }) {
  const run = (): Promise<unknown> => remove(`users/${segment(user)}/app-passwords/${segment(name)}`);
  return html`<${ActionButton} label="Revoke" describe=${`Revoke the app password ${name}`} kind="small" run=${run} after=${after}
    done=${`The app password ${name} of ${user} is revoked.`} confirm=${{
      title: `Revoke the app password ${name} of ${user}?`,
      text: 'The program that uses it can log in no more, on all nodes.',
      verb: 'Revoke the app password',
      danger: true,
    }} />`;
}
