import { html } from '/vendor/preact.js';
import { PageHead, Tabs } from '../kit/layout.ts';
import type { PageProps } from '../state/router.ts';
import { Lists } from './people/lists.ts';
import { Locks } from './people/locks.ts';
import { OneUser } from './people/one-user.ts';
import { Users } from './people/users.ts';

/** Users, aliases and groups, and locks; one user at /people/users/NAME. */

const TABS = [
  ['/people', 'Users'],
  ['/people/lists', 'Aliases and groups'],
  ['/people/locks', 'Locks'],
] as const;

export default function People({ rest: [part = '', name] }: PageProps) {
  if (part === 'users' && name !== undefined) return html`<${OneUser} name=${name} />`;
  return html`
    <${PageHead} title="People">Who has a mailbox here, and who may log in.<//>
    <${Tabs} label="People" tabs=${TABS} current=${part === '' ? '/people' : `/people/${part}`} />
    ${part === '' && html`<${Users} />`}
    ${part === 'lists' && html`<${Lists} />`}
    ${part === 'locks' && html`<${Locks} />`}
  `;
}
