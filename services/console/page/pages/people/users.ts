import type { UserListed, UserListReply } from '#services/console/schemas/people.ts';
import { html, useState } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { listText, plural } from '../../kit/format.ts';
import { Empty, Prose, shown } from '../../kit/layout.ts';
import { Table } from '../../kit/table.ts';
import { segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChange, mayChangeAll, useSession } from '../../state/session.ts';
import { Blocked, BlockUser, OtherBlocks } from './blocking.ts';
import { AddUser } from './forms.ts';

/** Every user that can be listed. */

const AGAIN_MS = 10_000;

export function Users() {
  const users = useData<UserListReply>('users', {}, AGAIN_MS);
  const [open, setOpen] = useState<'add' | 'block' | undefined>(undefined);
  const session = useSession();
  const close = { onClose: () => setOpen(undefined), after: users.reload };
  return html`
    ${
      mayChange(session) &&
      html`<div class="actions">
        <button type="button" class="primary" disabled=${users.data === undefined} onClick=${() => setOpen('add')}>Add a user</button>
        ${mayChangeAll(session) && html`<button type="button" onClick=${() => setOpen('block')}>Block by name</button>`}
      </div>`
    }
    ${shown(users, (reply) => html`<${All} ...${reply} />`)}
    ${
      users.data &&
      html`<${OtherBlocks} blocks=${users.data.blocked} changes=${mayChangeAll(session)} after=${users.reload} />`
    }
    ${open === 'add' && html`<${AddUser} first=${users.data?.first ?? false} ...${close} />`}
    ${open === 'block' && html`<${BlockUser} ...${close} />`}
  `;
}

function All({ users, node, behind, file, ldap }: UserListReply) {
  return html`
    ${behind && html`<${Note} tone="warn" title=${`${node} may not know the newest: ${behind}.`} />`}
    ${file?.problem && html`<${Note} tone="bad" title=${html`<${Prose} text=${file.problem} />`} />`}
    ${
      file &&
      html`<${Note} tone="info" title=${`Users of ${file.path} are asked first.`}>That file belongs to the node of this console alone. It is changed there, by hand or by <code>sealpost users</code>.<//>`
    }
    ${
      ldap.length > 0 &&
      html`<${Note} tone="info" title=${`There are more users at ${listText(ldap)}.`}>They are not listed here, and changed there.<//>`
    }
    <${Table} label="Users" rows=${users} columns=${COLUMNS} rowKey=${keyOf} card=${card}
      empty=${html`<${Empty} title="There are no users">Add one: it can log in on every node at once.<//>`} />
  `;
}

const keyOf = ({ name, place }: UserListed): string => `${place} ${name}`;

/** Only those of the cluster's directory have a page: they can be changed. */
function Name({ name, place }: UserListed) {
  return place === 'file' ? name : html`<a href=${`/people/users/${segment(name)}`}>${name}</a>`;
}

const addressesOf = ({ addresses }: UserListed): string => addresses.join(', ');

export function Login({ hasPassword, blocked }: Pick<UserListed, 'hasPassword' | 'blocked'>) {
  if (blocked !== undefined) return html`<${Blocked} ...${blocked} />`;
  return hasPassword
    ? html`<${Badge} tone="good">password<//>`
    : html`<${Badge} tone="idle" title="The user does not log in with a password of this directory.">no password<//>`;
}

const placeText = ({ place }: UserListed): string => (place === 'file' ? 'users file' : 'cluster');

const COLUMNS = [
  {
    title: 'User',
    cell: (user: UserListed) => html`<${Name} ...${user} />`,
    by: ({ name }: UserListed) => name,
    width: 12,
  },
  { title: 'Addresses', cell: addressesOf, by: addressesOf },
  { title: 'Log-in', cell: (user: UserListed) => html`<${Login} ...${user} />`, width: 9 },
  {
    title: 'App passwords',
    cell: ({ place, appPasswords }: UserListed) => (place === 'file' ? '–' : appPasswords.length),
    by: ({ appPasswords }: UserListed) => appPasswords.length,
    width: 9,
    numeric: true,
  },
  { title: 'Kept in', cell: placeText, by: placeText, width: 8 },
];

const card = (user: UserListed) => html`
  <span class="card-line"><strong><${Name} ...${user} /></strong> <${Login} ...${user} /></span>
  <span class="card-line soft">${addressesOf(user)} · ${user.place === 'file' ? 'users file' : plural(user.appPasswords.length, 'app password')}</span>
`;
