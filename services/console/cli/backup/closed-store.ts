import { lchown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '#cluster/config/schema/schema.ts';

/** Opens a store of a node that does not run. */

export type Owner = { uid: number; gid: number };

/**
 * A store below the folder of data, where it is there. LevelDB writes files when it is only read: those that root makes are
 * given to the owner of the store when it is closed, so that the node can start.
 */
export async function closedStore<S extends AsyncDisposable>(
  config: Config,
  name: 'credentials' | 'queue',
  open: (config: Config) => Promise<S>,
): Promise<(AsyncDisposable & { store: S }) | undefined> {
  const folder = join(config.node.data, name);
  const owner = await ownerOf(folder);
  if (owner === undefined) return undefined;
  const store = await open(config);
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await giveTo(folder, owner);
    },
  };
}

/** Undefined where it is not there. */
export async function ownerOf(path: string): Promise<Owner | undefined> {
  return stat(path).then(
    ({ uid, gid }) => ({ uid, gid }),
    () => undefined,
  );
}

/** Give a folder and all that is below to an owner, where this is root. */
export async function giveTo(folder: string, { uid, gid }: Owner): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await lchown(join(entry.parentPath, entry.name), uid, gid);
  }
  await lchown(folder, uid, gid);
}
