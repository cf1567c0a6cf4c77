import { decoyHash, type PasswordHash, verifyPassword } from '#cluster/config/users/password.ts';
import type { User, Users } from '#cluster/config/users/users-file.ts';
import { mailboxKey } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import { Account, type Verify } from './account.ts';
import type { Entries } from './directory.ts';

/** Compared with where there is no such user: that must cost what a wrong password costs. */
const DECOY = decoyHash();

/** Whether a password is the one that was hashed; without a hash none is. */
export const verifyHash =
  (hash: PasswordHash | undefined): Verify =>
  async (password) => {
    const isRight = await verifyPassword(hash ?? DECOY, password);
    return { outcome: isRight && hash !== undefined ? 'right' : 'wrong' };
  };

/** One version of a users file, arranged for look-ups. */
export function fileEntries({ users, aliases }: Users): Entries {
  const accounts = new Map(users.map((user) => [userKey(user.name), accountOf(user)]));
  const mailboxes = new Map<string, string>();
  for (const account of accounts.values()) {
    for (const address of account.mailboxes) mailboxes.set(mailboxKey(address), address);
  }
  const aliasesByKey = new Map([...aliases].map(([name, targets]) => [mailboxKey(name), targets]));
  return {
    account: (key) => accounts.get(key),
    mailbox: (key) => mailboxes.get(key),
    alias: (key) => aliasesByKey.get(key),
    group: () => undefined,
    groupAt: () => undefined,
    map: () => undefined,
    namesRecipients: true,
  };
}

function accountOf({ name, password, addresses, 'on-behalf-of': onBehalfOf }: User): Account {
  return new Account({ name, addresses, onBehalfOf, verify: verifyHash(password) });
}
