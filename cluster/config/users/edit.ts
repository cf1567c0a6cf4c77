import { readFile } from 'node:fs/promises';
import { type Document, isMap, isSeq, parseDocument, type YAMLMap, YAMLSeq } from 'yaml';
import { userKey } from '#shared/directory/values.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import type { Secret } from '#shared/secret.ts';
import { hashPassword } from './password.ts';
import { parseUsersFile } from './users-file.ts';

/**
 * Edits a users file as an administrator would: comments, order and everything else in it stay. The new version is
 * checked like any other before it takes the old one's place in one step, so a running node never reads half a file.
 *
 * Errors: `exists`, `not-found` (the user, or the file), `invalid` (the file as it is, or what it would become),
 * `unreadable`, `write-failed`.
 */

export type UserSummary = {
  name: string;
  addresses: string[];
  onBehalfOf: string[];
  /** The file itself says that the user logs in nowhere. */
  blocked?: { reason?: string | undefined; since?: number | undefined };
};

/** The users in the order of the file, without their passwords. */
export async function listUsers(file: string): Promise<UserSummary[]> {
  const { users, blocked } = parseUsersFile(await read(file), file);
  return users.map(({ name, addresses, 'on-behalf-of': onBehalfOf }) => {
    const block = blocked.find((one) => userKey(one.name) === userKey(name));
    const { reason, since } = block ?? {};
    return { name, addresses, onBehalfOf, ...(block !== undefined && { blocked: { reason, since } }) };
  });
}

/**
 * Add a user at the end; the file is made when it is not there. `addresses` and `onBehalfOf`: full addresses, `@domain`,
 * `*`. The password is hashed before anything is written.
 */
export async function addUser(
  file: string,
  user: { name: string; password: Secret; addresses: readonly string[]; onBehalfOf?: readonly string[] },
): Promise<void> {
  const password = await hash(user.password);
  await edit(file, { create: true }, (document) => {
    if (indexOfUser(document, user.name) >= 0) {
      throw new SealpostError('exists', `user ${user.name} is in ${file} already: change the password instead`);
    }
    const users = usersOf(document);
    // An empty list is written `[]`; what comes in should stand on lines of its own.
    if (users.items.length === 0) users.flow = false;
    const { name, addresses, onBehalfOf = [] } = user;
    const lists = { addresses, ...(onBehalfOf.length > 0 && { 'on-behalf-of': onBehalfOf }) };
    const entry = document.createNode({ name, password, ...lists });
    for (const key of Object.keys(lists)) {
      const list = isMap(entry) ? entry.get(key, true) : undefined;
      if (isSeq(list)) list.flow = true;
    }
    users.items.push(entry);
  });
}

export async function setPassword(file: string, name: string, password: Secret): Promise<void> {
  const hashed = await hash(password);
  await edit(file, { create: false }, (document) => {
    document.setIn(['users', requireUser(document, name, file), 'password'], hashed);
  });
}

/** Take a user out. Aliases that lead to the user's addresses stay as they are. */
export async function removeUser(file: string, name: string): Promise<void> {
  await edit(file, { create: false }, (document) => {
    document.deleteIn(['users', requireUser(document, name, file)]);
  });
}

async function hash(password: Secret): Promise<string> {
  if (password.reveal() === '') throw new SealpostError('invalid', 'the password is empty');
  return hashPassword(password.reveal());
}

function usersOf(document: Document): YAMLSeq {
  const users = document.get('users', true);
  if (isSeq(users)) return users;
  const created = new YAMLSeq();
  document.set('users', created);
  return created;
}

function indexOfUser(document: Document, name: string): number {
  const users = document.get('users', true);
  if (!isSeq(users)) return -1;
  return users.items.findIndex(
    (item) => isMap(item) && userKey(String((item as YAMLMap).get('name'))) === userKey(name),
  );
}

function requireUser(document: Document, name: string, file: string): number {
  const index = indexOfUser(document, name);
  if (index < 0) throw new SealpostError('not-found', `there is no user ${name} in ${file}`);
  return index;
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw new SealpostError('not-found', `there is no users file ${file}`);
    throw new SealpostError('unreadable', `the users file ${file} cannot be read`, { cause: error });
  }
}

/** Read, check, change, check again, write. */
async function edit(file: string, how: { create: boolean }, change: (document: Document) => void): Promise<void> {
  const before = await read(file).catch((error: unknown) => {
    if (how.create && errorCode(error) === 'not-found') return '';
    throw error;
  });
  parseUsersFile(before, file);
  const document = parseDocument(before);
  change(document);
  // No folding: a hash on two lines is hard to copy.
  const after = document.toString({ lineWidth: 0 });
  parseUsersFile(after, file);
  try {
    await replaceFile(file, after);
  } catch (error) {
    throw new SealpostError('write-failed', `the users file ${file} cannot be written`, {
      cause: error,
    });
  }
}
