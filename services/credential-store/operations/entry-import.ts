import { isDeepStrictEqual } from 'node:util';
import type { EntryImport } from '#shared/directory/entries.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import {
  type AppPassword,
  type DirectoryKind,
  DirectoryRecord,
  directoryKey,
  type UserRecord,
} from '#shared/directory/records.ts';
import type { SealedSecret } from '#shared/dkim/secret-seal.ts';
import { unwrapSecret, type WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { changeRecord, type RecordOf, receivePassword } from '../directory/change.ts';
import { assertLeadsSomewhere, assertNoCycle } from '../directory/rules.ts';
import type { Operation, OperationDeps } from './deps.ts';

/** Whole entries from a file: what is there already stays as it is, so that an import can be repeated. */

/** Codes of what is wrong with one entry; anything else ends the import. */
const OF_ONE: readonly unknown[] = ['invalid', 'exists', 'too-large', 'unreadable-record'];

export const entryImport: Operation<'entry-import'> = async (deps, { entries }) => {
  const failed: { kind: string; name: string; code: string; reason: string }[] = [];
  let changed = 0;
  for (const entry of entries) {
    try {
      if (await importEntry(deps, entry)) changed++;
    } catch (error) {
      const code = errorCode(error) ?? '';
      if (!OF_ONE.includes(code)) throw error;
      failed.push({ kind: entry.kind, name: nameIn(entry).slice(0, 255), code, reason: errorText(error) });
    }
  }
  const unchanged = entries.length - changed - failed.length;
  return { node: deps.settings.current.node.name, changed, unchanged, failed };
};

const nameIn = (entry: EntryImport): string => (entry.kind === 'alias' ? entry.address : entry.name);

/** Whether it changed something. */
async function importEntry(deps: OperationDeps, entry: EntryImport): Promise<boolean> {
  const name = nameIn(entry);
  const make = entry.kind === 'user' ? await userFrom(deps, entry) : () => entry;
  let changed = false;
  const which: { kind: DirectoryKind; name: string } = { kind: entry.kind, name };
  await changeRecord(deps, which, (current) => {
    const next = parsed(make(current as UserRecord | undefined));
    changed = !isDeepStrictEqual(next, current);
    if (!changed) return current;
    assertFits(deps, next);
    return next as RecordOf<DirectoryKind>;
  });
  return changed;
}

/** In the form in which it is stored, so that it can be compared. */
function parsed(record: DirectoryRecord): DirectoryRecord {
  const result = DirectoryRecord.safeParse(record);
  // What is wrong is said by the change itself.
  return result.success ? result.data : record;
}

function assertFits({ directory, groups }: OperationDeps, record: DirectoryRecord): void {
  if (record.kind === 'alias') assertLeadsSomewhere({ directory, groups }, record);
  if (record.kind === 'group') assertNoCycle({ directory, groups }, record);
  if (record.kind === 'user' && directory.get(directoryKey('group', record.name)) !== undefined) {
    throw new SealpostError('exists', `a group has the name ${record.name}: members of groups would be ambiguous`);
  }
}

type UserImport = Extract<EntryImport, { kind: 'user' }>;

/** How the record of a user is made of the one that is there. A hash that is the same stays wrapped as it is. */
async function userFrom(
  deps: OperationDeps,
  { name, addresses, onBehalfOf, password, appPasswords }: UserImport,
): Promise<(current: UserRecord | undefined) => UserRecord> {
  const take = async (sealed: SealedSecret, tag: string) => ({
    wrapped: await receivePassword(deps, sealed, { user: name, tag }),
    tag,
  });
  const main = password && (await take(password, ''));
  const others = appPasswords && (await Promise.all(appPasswords.map((one) => take(one.password, one.tag))));
  const same = (held: WrappedSecret | undefined, { wrapped, tag }: { wrapped: WrappedSecret; tag: string }) =>
    held !== undefined && isSameHash(deps, { user: name, tag }, held, wrapped) ? held : wrapped;
  return (current) => ({
    kind: 'user',
    name: current?.name ?? name,
    addresses,
    onBehalfOf,
    ...(main !== undefined && { password: same(current?.password, main) }),
    appPasswords:
      appPasswords === undefined || others === undefined
        ? (current?.appPasswords ?? [])
        : appPasswords.map((one, i): AppPassword => {
            const held = current?.appPasswords.find(({ tag }) => tag === one.tag);
            const taken = others[i] as (typeof others)[number];
            return { ...one, password: same(held?.password, taken) };
          }),
  });
}

function isSameHash(
  { seal }: OperationDeps,
  { user, tag }: { user: string; tag: string },
  held: WrappedSecret,
  given: WrappedSecret,
): boolean {
  try {
    const place = passwordPlace(user, tag);
    return unwrapSecret(seal.neks, place, held).equals(unwrapSecret(seal.neks, place, given));
  } catch {
    // What does not open is replaced.
    return false;
  }
}
