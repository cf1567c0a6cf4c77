import { userKey } from '#shared/directory/values.ts';
import { errorText } from '#shared/errors.ts';
import { allBlocks, isListed } from '../../reports/people/blocks.ts';
import { type CommonOptions, print, readConfig } from '../context.ts';
import { CLUSTER, requireName, tell, withStore } from './place.ts';

/** `sealpost users block` and `unblock`: by name, for the users of all sources, whichever of them knows the user. */

export async function block(name: string, options: CommonOptions & { reason?: string }): Promise<void> {
  requireName(name);
  const { reason } = options;
  const { directory } = await readConfig(options, ['directory']);
  const listed = await withStore(options, async (store) => {
    await store['user-block']({ name, ...(reason !== undefined && { reason }) });
    return isListed(store, name, directory);
  });
  if (!listed) {
    tell(
      `neither ${CLUSTER} nor a users file of this node has a user ${name}: whoever logs in by that name is blocked`,
    );
  }
  print(options, { name, reason, listed }, () => `blocked ${name} on all nodes`);
}

export async function unblock(name: string, options: CommonOptions): Promise<void> {
  await withStore(options, (store) => store['user-unblock']({ name }));
  print(options, { name }, () => `${name} is not blocked any more`);
}

type Named = { name: string; blocked?: BlockOf };
export type BlockOf = { reason?: string | undefined; since?: number | undefined };

/** Users with the block of each. Where no node answers it is told that blocks of the cluster are not known. */
export async function withBlocks<User extends Named>(
  users: readonly User[],
  options: CommonOptions,
): Promise<(User & { blocked?: BlockOf })[]> {
  const blocks = new Map<string, BlockOf>();
  try {
    for (const { name, ...rest } of await withStore(options, allBlocks)) blocks.set(userKey(name), rest);
  } catch (error) {
    tell(`who is blocked in ${CLUSTER} is not known: ${errorText(error)}`);
  }
  return users.map((user) => {
    const blocked = blocks.get(userKey(user.name));
    return blocked === undefined ? user : { ...user, blocked };
  });
}

export function blockedText({ reason, since }: BlockOf): string {
  const when = since === undefined ? 'blocked' : `since ${new Date(since).toISOString().slice(0, 10)}`;
  return reason ? `${when}: ${reason}` : when;
}
