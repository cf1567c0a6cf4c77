import { readFile } from 'node:fs/promises';
import { stdout } from 'node:process';
import { stringify } from 'yaml';
import { loadNeks } from '#cluster/config/nek.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { formatPasswordHash } from '#cluster/config/users/password.ts';
import { parseUsersFile, type Users } from '#cluster/config/users/users-file.ts';
import type { EntryImport } from '#shared/directory/entries.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { DirectoryRecord, type UserRecord } from '#shared/directory/records.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import type { SealingKey } from '#shared/dkim/secret-seal.ts';
import { unwrapSecret, type WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { sealedHash } from '../../reports/people/passwords.ts';
import { type CommonOptions, print, readConfig } from '../context.ts';
import { usageError } from '../exit.ts';
import { writeNew } from '../keys/export.ts';
import { CLUSTER, tell, withDirectory } from './place.ts';

/**
 * `sealpost directory import` and `export`: between the cluster's directory and a users file. Hashes leave the file sealed,
 * and come out of the store wrapped: an export is made where the NEK is.
 */

/** Entries in one request, which is answered when each is on disk, and their bytes: NATS carries 1 MB. */
const BATCH = 100;
const BATCH_BYTES = 300_000;
/** An import says how far it is after each of so many entries. */
const TOLD = 5000;

type Failed = { kind: string; name: string; code: string; reason: string };

export async function importFile(file: string, options: CommonOptions): Promise<void> {
  const users = parseUsersFile(await readUsers(file), file);
  const result = await withDirectory(options, (store) => send(store, users));
  const { changed, unchanged, failed } = result;
  print(options, { file, ...result }, () =>
    [
      `imported ${file} into ${CLUSTER}: ${changed} entries changed, ${unchanged} were there, ${failed.length} failed`,
      ...failed.map(({ kind, name, reason }) => `  ${kind} ${name}: ${reason}`),
    ].join('\n'),
  );
  if (failed.length > 0) throw new SealpostError('invalid', `${failed.length} entries of ${file} were not imported`);
}

async function readUsers(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SealpostError('unreadable', unreadable(file, error), { cause: error });
  }
}

async function send(store: CredentialStore, users: Users) {
  const key = await store['sealing-key-show']({});
  const total = { changed: 0, unchanged: 0, failed: [] as Failed[] };
  // Before the users: none of them can log in meanwhile.
  for (const { name, reason, since } of users.blocked) {
    const block = { name, ...(reason !== undefined && { reason }), ...(since !== undefined && { since }) };
    total[(await store['user-block'](block)).changed ? 'changed' : 'unchanged']++;
  }
  let sent = 0;
  for (const entries of batchesOf(entriesOf(users, key))) {
    const { changed, unchanged, failed } = await store['entry-import']({ entries });
    total.changed += changed;
    total.unchanged += unchanged;
    total.failed.push(...failed);
    const before = sent;
    sent += entries.length;
    if (Math.floor(sent / TOLD) > Math.floor(before / TOLD)) tell(`${sent} entries`);
  }
  return total;
}

/** As many as one request may have; one that is larger alone goes alone. */
export function* batchesOf(entries: Iterable<EntryImport>): Generator<EntryImport[]> {
  let batch: EntryImport[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = Buffer.byteLength(JSON.stringify(entry));
    if (batch.length === BATCH || (batch.length > 0 && bytes + size > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Users first: groups name them. */
function* entriesOf({ users, aliases, groups, maps }: Users, key: SealingKey): Generator<EntryImport> {
  for (const { name, password, addresses, 'on-behalf-of': onBehalfOf, 'app-passwords': apps } of users) {
    yield {
      ...{ kind: 'user', name, addresses, onBehalfOf },
      password: sealedHash(key, formatPasswordHash(password), { user: name }),
      // A file that knows of none says nothing about them.
      ...(apps.length > 0 && {
        appPasswords: apps.map(({ tag, name: called, networks, password: hash, created, 'last-used': lastUsed }) => ({
          ...{ tag, name: called, networks, created: created === undefined ? Date.now() : Date.parse(created) },
          ...(lastUsed !== undefined && { lastUsed }),
          password: sealedHash(key, formatPasswordHash(hash), { user: name, tag }),
        })),
      }),
    };
  }
  for (const [address, targets] of aliases) yield { kind: 'alias', address, targets };
  for (const [name, { addresses, members }] of Object.entries(groups))
    yield { kind: 'group', name, addresses, members };
  for (const [name, entries] of Object.entries(maps)) yield { kind: 'map', name, entries };
}

export async function exportFile(options: CommonOptions & { out: string }): Promise<void> {
  const { out } = options;
  if (out === '-' && options.json) throw usageError('--out - prints the file itself: leave --json out');
  if (out === '-' && stdout.isTTY) {
    throw usageError('password hashes are not for a terminal: name a new file with --out, or pipe them on');
  }
  const { credentials } = await readConfig(options, ['credentials']);
  const neks = await loadNeks(credentials.nek, silentLogger);
  const records = await withDirectory(options, allRecords);
  const text = usersFileOf(records, neks);
  if (out === '-') {
    stdout.write(text);
    return;
  }
  await writeNew(out, text, 0o600);
  print(
    options,
    { file: out, entries: records.length },
    () => `wrote ${records.length} entries of ${CLUSTER} to ${out}: keep it safe`,
  );
}

async function allRecords(store: CredentialStore): Promise<DirectoryRecord[]> {
  const records = new Map<string, DirectoryRecord>();
  let after: string | undefined;
  do {
    const page = await store['directory-list'](after === undefined ? {} : { after });
    for (const { key, json } of page.records) records.set(key, readRecord(key, json));
    after = page.next;
  } while (after !== undefined);
  return [...records.values()];
}

/**
 * Fails with `unreadable-record` where it is damaged, or a newer version wrote it: an export that lacks it would be a
 * loss.
 */
function readRecord(key: string, json: string): DirectoryRecord {
  if (json === '') {
    throw new SealpostError('unreadable-record', `the entry ${key} cannot be read: "sealpost doctor" says why`);
  }
  const parsed = DirectoryRecord.safeParse(JSON.parse(json));
  if (parsed.success) return parsed.data;
  throw new SealpostError('unreadable-record', `the entry ${key} is of a newer Sealpost: export with that version`);
}

/** The text of a users file with all of it. Fails with `nek-mismatch` where a hash cannot be opened here. */
function usersFileOf(records: readonly DirectoryRecord[], neks: readonly Nek[]): string {
  const file = { users: [] as object[], aliases: {}, groups: {}, maps: {}, blocked: {} };
  for (const record of records) {
    if (record.kind === 'user') file.users.push(userOf(record, neks));
    if (record.kind === 'alias') Object.assign(file.aliases, { [record.address]: record.targets });
    if (record.kind === 'group') {
      const { name, addresses, members } = record;
      Object.assign(file.groups, { [name]: { addresses, members } });
    }
    if (record.kind === 'block') {
      const { name, reason, since } = record;
      Object.assign(file.blocked, { [name]: { reason, since: new Date(since).toISOString() } });
    }
    if (record.kind === 'map') Object.assign(file.maps, { [record.name]: record.entries });
  }
  const parts = Object.entries(file).filter(([, part]) => Object.keys(part).length > 0);
  // No folding: a hash on two lines is hard to copy.
  return parts.length === 0 ? 'users: []\n' : stringify(Object.fromEntries(parts), { lineWidth: 0 });
}

function userOf({ name, addresses, onBehalfOf, password, appPasswords }: UserRecord, neks: readonly Nek[]): object {
  const clear = (wrapped: WrappedSecret, tag?: string): string =>
    unwrapSecret(neks, passwordPlace(name, tag), wrapped).toString();
  return {
    name,
    ...(password !== undefined && { password: clear(password) }),
    addresses,
    ...(onBehalfOf.length > 0 && { 'on-behalf-of': onBehalfOf }),
    ...(appPasswords.length > 0 && {
      'app-passwords': appPasswords.map((one) => ({
        ...{ name: one.name, tag: one.tag, password: clear(one.password, one.tag) },
        ...(one.networks.length > 0 && { networks: one.networks }),
        created: new Date(one.created).toISOString(),
        ...(one.lastUsed !== undefined && { 'last-used': one.lastUsed }),
      })),
    }),
  };
}
