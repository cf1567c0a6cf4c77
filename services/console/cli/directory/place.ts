import { styleText } from 'node:util';
import type { Command } from 'commander';
import { hashPassword } from '#cluster/config/users/password.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { DirectoryEntry, EntryOf, ListChange } from '#shared/directory/entries.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { DIRECTORY_KINDS } from '#shared/directory/records.ts';
import { type SealedSecret, type SealingKey, sealSecret } from '#shared/dkim/secret-seal.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { type CommonOptions, openCaller, readConfig, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';

/**
 * Which directory a command is about, and how it is changed. There are two: the users file of this node, where the
 * configuration names one (`directory.users`), which is asked first and known to this node alone; and the cluster's, which
 * every node has. Every command says which one it changed.
 */
export type PlaceOptions = CommonOptions & { cluster?: boolean };

export const CLUSTER = "the cluster's directory";

/** For the commands that change a users file where there is one. */
export function withPlace(command: Command): Command {
  return withCommon(command).option(
    '--cluster',
    'the directory of the cluster, also where the configuration names a users file, which is local to this node',
  );
}

/** The users file of this node; undefined where the command is about the cluster's directory. */
export async function localFile(options: PlaceOptions): Promise<string | undefined> {
  if (options.cluster) return undefined;
  return (await readConfig(options, ['directory'])).directory.users;
}

/** For people: which directory it is. */
export const localPlace = (file: string): string => `${file}, the local users file of this node`;

/** Asks the credential-store of any node for the cluster's directory, and tells of a local file that is asked before it. */
export async function withDirectory<T>(options: PlaceOptions, ask: (store: CredentialStore) => Promise<T>): Promise<T> {
  const { users } = (await readConfig(options, ['directory'])).directory;
  if (users !== undefined) {
    tell(`${CLUSTER} is meant; the users file ${users} of this node is local and is asked first`);
  }
  await using caller = await openCaller(options);
  return await ask(caller.client(credentialStoreContract));
}

/** A remark beside the result, for people. */
export function tell(text: string): void {
  console.error(styleText('dim', text, { stream: process.stderr }));
}

/** The hash of a password, sealed for a store: it never crosses the bus in clear. */
export async function sealedPassword(
  store: CredentialStore,
  password: string,
  { user, tag }: { user: string; tag?: string },
): Promise<SealedSecret> {
  return sealedHash(await store['sealing-key-show']({}), await hashPassword(password), { user, tag });
}

export function sealedHash(
  key: SealingKey,
  hash: string,
  { user, tag }: { user: string; tag?: string | undefined },
): SealedSecret {
  return sealSecret(key, passwordPlace(user, tag), Buffer.from(hash));
}

/** The first entry makes all recipients of local domains subject to the directory: say so before anybody wonders. */
export async function tellOfFirst(store: CredentialStore): Promise<void> {
  for (const kind of DIRECTORY_KINDS) {
    if ((await store['entry-list']({ kind })).entries.length > 0) return;
  }
  tell(
    'this is the first entry: from now on a recipient of a local domain is refused unless a directory has the address',
  );
}

/** All entries of a kind, in the order of their names. */
export async function listEntries<Kind extends DirectoryEntry['kind']>(
  store: CredentialStore,
  kind: Kind,
): Promise<EntryOf<Kind>[]> {
  const entries: EntryOf<Kind>[] = [];
  let after: string | undefined;
  do {
    const page = await store['entry-list']({ kind, ...(after !== undefined && { after }) });
    if (after === undefined && page.behind !== undefined)
      tell(`node ${page.node} may not know the newest: ${page.behind}`);
    for (const entry of page.entries) entries.push(entry as EntryOf<Kind>);
    after = page.next;
  } while (after !== undefined);
  return entries;
}

/** What `--add`, `--remove` and `--set` of a list mean; undefined where none was given. */
export function listChange(add: string[] | undefined, remove: string[] | undefined): ListChange | undefined {
  if (add === undefined && remove === undefined) return undefined;
  return { ...(add !== undefined && { add }), ...(remove !== undefined && { remove }) };
}

export function requireName(name: string): string {
  if (name.startsWith('-') || name.trim() === '') throw usageError(`"${name}" is not a name`);
  return name;
}
