import type { Config } from '#cluster/config/schema/schema.ts';
import { listUsers } from '#cluster/config/users/edit.ts';
import type { Block } from '#shared/directory/entries.ts';
import { userKey } from '#shared/directory/values.ts';
import { errorCode } from '#shared/errors.ts';
import type { CredentialStore } from '../keys/key-list.ts';

/** Who is blocked. A block is by name, and holds for the user of that name in whatever source. */

/** Everybody, in the order of their names. */
export async function allBlocks(store: CredentialStore): Promise<Block[]> {
  const first = await store['block-list']({});
  const blocks = [...first.blocks];
  for (let after = first.next; after !== undefined; ) {
    const page = await store['block-list']({ after });
    blocks.push(...page.blocks);
    after = page.next;
  }
  return blocks;
}

/** By the key of the name. */
export const byName = (blocks: readonly Block[]): Map<string, Block> =>
  new Map(blocks.map((block) => [userKey(block.name), block]));

/** Whether a list that can be read at this node has the user; those of LDAP, and of users files elsewhere, cannot. */
export async function isListed(store: CredentialStore, name: string, { users }: Config['directory']): Promise<boolean> {
  try {
    await store['entry-show']({ kind: 'user', name });
    return true;
  } catch (error) {
    if (errorCode(error) !== 'not-found') throw error;
  }
  if (users === undefined) return false;
  return (await listUsers(users)).some((user) => userKey(user.name) === userKey(name));
}
