import type { User, Users } from '#cluster/config/users/users-file.ts';
import { mailboxKey } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import { Account } from './account.ts';
import type { Entries, Group } from './directory.ts';
import { verifyOf } from './passwords.ts';

/** One version of a users file, arranged for look-ups. */
export function fileEntries({ users, aliases, groups, maps, blocked }: Users): Entries {
  const accounts = new Map(users.map((user) => [userKey(user.name), accountOf(user)]));
  const mailboxes = new Map<string, string>();
  for (const account of accounts.values()) {
    for (const address of account.mailboxes) mailboxes.set(mailboxKey(address), address);
  }
  const aliasesByKey = new Map([...aliases].map(([name, targets]) => [mailboxKey(name), targets]));
  const groupsByName = new Map<string, Group>();
  const groupsByAddress = new Map<string, Group>();
  for (const [name, { addresses, members }] of Object.entries(groups)) {
    groupsByName.set(userKey(name), { name, members });
    for (const address of addresses) groupsByAddress.set(mailboxKey(address), { name, members });
  }
  const mapsByName = new Map(Object.entries(maps).map(([name, map]) => [userKey(name), new Map(Object.entries(map))]));
  const blocks = new Map(blocked.map((block) => [userKey(block.name), block]));
  return {
    account: (key) => accounts.get(key),
    mailbox: (key) => mailboxes.get(key),
    alias: (key) => aliasesByKey.get(key),
    group: (key) => groupsByName.get(key),
    groupAt: (key) => groupsByAddress.get(key),
    map: (key) => mapsByName.get(key),
    block: (key) => blocks.get(key),
    namesRecipients: true,
  };
}

function accountOf({ name, password, addresses, 'on-behalf-of': onBehalfOf, 'app-passwords': apps }: User): Account {
  const appPasswords = apps.map((app) => ({ ...app, hash: () => app.password }));
  return new Account({ name, addresses, onBehalfOf, verify: verifyOf({ hash: () => password, appPasswords }) });
}
