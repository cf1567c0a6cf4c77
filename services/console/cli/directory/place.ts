import { styleText } from 'node:util';
import type { Command } from 'commander';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { DirectoryEntry, EntryOf, ListChange } from '#shared/directory/entries.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { allEntries, isEmpty } from '../../reports/people/entries.ts';
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
  return withStore(options, ask);
}

/** Asks the credential-store of any node, where it does not matter who is asked first. */
export async function withStore<T>(options: CommonOptions, ask: (store: CredentialStore) => Promise<T>): Promise<T> {
  await using caller = await openCaller(options);
  return await ask(caller.client(credentialStoreContract));
}

/** A remark beside the result, for people. */
export function tell(text: string): void {
  console.error(styleText('dim', text, { stream: process.stderr }));
}

/** The first entry makes all recipients of local domains subject to the directory: say so before anybody wonders. */
export async function tellOfFirst(store: CredentialStore): Promise<void> {
  if (!(await isEmpty(store))) return;
  tell(
    'this is the first entry: from now on a recipient of a local domain is refused unless a directory has the address',
  );
}

/** All entries of a kind, in the order of their names. */
export async function listEntries<Kind extends DirectoryEntry['kind']>(
  store: CredentialStore,
  kind: Kind,
): Promise<EntryOf<Kind>[]> {
  const { entries, node, behind } = await allEntries(store, kind);
  if (behind !== undefined) tell(`node ${node} may not know the newest: ${behind}`);
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
