import type { Settings } from '#cluster/config/settings.ts';
import { parsePasswordHash } from '#cluster/config/users/password.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { type DirectoryEntry, entryOf, type ListChange } from '#shared/directory/entries.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import {
  type DirectoryKind,
  DirectoryRecord,
  directoryKey,
  type EntryKind,
  keyOfRecord,
} from '#shared/directory/records.ts';
import { openSealed, type SealedSecret } from '#shared/dkim/secret-seal.ts';
import { type WrappedSecret, wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import type { NekSeal } from '../neks/nek-seal.ts';
import type { Neks } from '../neks/neks.ts';

/** One compare-and-set of an entry of the directory. */

export type RecordOf<Kind extends DirectoryKind> = Extract<DirectoryRecord, { kind: Kind }>;

type ChangeDeps = { directory: ReplicatedMap<DirectoryRecord>; settings: Settings };

/**
 * Change an entry. `change` gets the newest one, undefined where there is none, may look at others, and is called again
 * when another node was faster; what it returns is checked. The same object: nothing changes; undefined: it is removed.
 * Fails with `invalid`, with what `change` threw, and like `ReplicatedMap.update`.
 */
export async function changeRecord<Kind extends DirectoryKind>(
  { directory, settings }: ChangeDeps,
  { kind, name }: { kind: Kind; name: string },
  change: (current: RecordOf<Kind> | undefined) => RecordOf<Kind> | undefined,
): Promise<{ node: string; record: RecordOf<Kind> | undefined }> {
  const key = directoryKey(kind, nameOf(kind, name));
  const { value } = await directory.update(key, (current) => {
    const next = change(current as RecordOf<Kind> | undefined);
    return next === undefined || next === current ? next : checked(next, key);
  });
  return { node: settings.current.node.name, record: value as RecordOf<Kind> | undefined };
}

/** The same, where there is an entry in the end. */
export async function changeEntry<Kind extends EntryKind>(
  deps: ChangeDeps,
  which: { kind: Kind; name: string },
  change: (current: RecordOf<Kind> | undefined) => RecordOf<Kind>,
): Promise<{ node: string; entry: DirectoryEntry }> {
  const { node, record } = await changeRecord(deps, which, change);
  if (record === undefined) throw missing(which.kind, which.name);
  return { node, entry: entryOf(record as RecordOf<EntryKind>) };
}

/** The name of an entry as its key has it: of an alias its canonical address. */
export const nameOf = (kind: DirectoryKind, name: string): string => (kind === 'alias' ? canonicalAddress(name) : name);

function checked(record: DirectoryRecord, key: string): DirectoryRecord {
  const parsed = DirectoryRecord.safeParse(record);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new SealpostError('invalid', `nothing was changed: ${[...new Set(problems)].slice(0, 10).join('; ')}`);
  }
  if (keyOfRecord(parsed.data) !== key)
    throw new SealpostError('invalid', 'nothing was changed: the name has two forms');
  return parsed.data;
}

export const missing = (kind: DirectoryKind, name: string): SealpostError =>
  new SealpostError('not-found', `the cluster's directory has no ${kind} ${name}`);

export const present = (kind: DirectoryKind, name: string): SealpostError =>
  new SealpostError('exists', `the cluster's directory has the ${kind} ${name} already: change that one`);

/** The entry that is to be changed, or undefined where one is to be made. Fails with `exists` or `not-found`. */
export function expected<R extends DirectoryRecord>(
  current: R | undefined,
  { kind, name }: { kind: DirectoryKind; name: string },
  create: boolean,
): R | undefined {
  if (create && current !== undefined) throw present(kind, name);
  if (!create && current === undefined) throw missing(kind, name);
  return current;
}

/** Entries of a list are the same where neither case nor the spelling of the domain differs. */
const sameKey = (text: string): string => mailboxKey(canonicalAddress(text));

export function changedList(current: readonly string[], change: ListChange | undefined): string[] {
  if (change === undefined) return [...current];
  const list = new Map((change.set ?? current).map((text) => [sameKey(text), text]));
  for (const text of change.remove ?? []) list.delete(sameKey(text));
  for (const text of change.add ?? []) list.set(sameKey(text), text);
  return [...list.values()];
}

/** The hash of a password as it came, wrapped for the store. Fails with `invalid`, `no-nek` or `nek-mismatch`. */
export async function receivePassword(
  deps: { neks: Pick<Neks, 'current'>; seal: Pick<NekSeal, 'neks'> },
  sealed: SealedSecret,
  { user, tag }: { user: string; tag?: string },
): Promise<WrappedSecret> {
  const nek = await deps.neks.current();
  const place = passwordPlace(user, tag);
  const hash = openSealed(deps.seal.neks, place, sealed);
  if (parsePasswordHash(hash.toString()) === undefined) {
    throw new SealpostError('invalid', `${place.text} is not an argon2id hash`);
  }
  const wrapped = wrapSecret(nek, place, hash);
  hash.fill(0);
  return wrapped;
}
