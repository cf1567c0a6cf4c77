import type { KeyIdentity, WrappedKey } from './key-wrap.ts';
import type { Nek } from './nek.ts';
import { judgeMacs, macsOf, type NekMac, type Verdict } from './nek-mac.ts';

/**
 * The proof that an answer of keys, or of records of the directory, comes from a process with the NEK, and to this
 * question: codes over the question's nonce and everything in the answer that its reader uses. A member that a later
 * version adds to the answer is not in it.
 */
export type KeyList = {
  node: string;
  revision: number;
  behind?: string | undefined;
  next?: string | undefined;
  changed?: readonly string[] | undefined;
  cursor?: string | undefined;
  keys: readonly (KeyIdentity & { state: string; publicKey: string; fingerprint: string; wrapped: WrappedKey })[];
};

const PURPOSE = 'signing-key-list';

export const proveKeyList = (neks: readonly Nek[], nonce: string, list: KeyList): NekMac[] =>
  macsOf(neks, PURPOSE, textOf(nonce, list));

export const judgeKeyList = (neks: readonly Nek[], nonce: string, list: KeyList, macs: readonly NekMac[]): Verdict =>
  judgeMacs(neks, PURPOSE, textOf(nonce, list), macs);

function textOf(nonce: string, { node, revision, behind, next, changed, cursor, keys }: KeyList): string {
  return JSON.stringify([
    ...[nonce, node, revision, behind ?? null, next ?? null, changed ?? null, cursor ?? null],
    ...keys.map(({ domain, selector, algorithm, state, publicKey, fingerprint, wrapped }) => [
      ...[domain, selector, algorithm, state, publicKey, fingerprint],
      ...[wrapped.nek, wrapped.nekFingerprint, wrapped.iv, wrapped.tag, wrapped.data],
    ]),
  ]);
}

/** An answer of records of the directory, and what was asked for: an answer to another question is not proven by it. */
export type DirectoryList = Omit<KeyList, 'keys'> & {
  /** The JSON of each, as the store has it. */
  records: readonly { key: string; json: string }[];
};
export type DirectoryQuestion = { nonce: string; since?: string | undefined; after?: string | undefined };

const DIRECTORY = 'directory-list';

export const proveDirectory = (neks: readonly Nek[], question: DirectoryQuestion, list: DirectoryList): NekMac[] =>
  macsOf(neks, DIRECTORY, directoryText(question, list));

export const judgeDirectory = (
  neks: readonly Nek[],
  question: DirectoryQuestion,
  list: DirectoryList,
  macs: readonly NekMac[],
): Verdict => judgeMacs(neks, DIRECTORY, directoryText(question, list), macs);

function directoryText(question: DirectoryQuestion, list: DirectoryList): string {
  const { nonce, since, after } = question;
  const { node, revision, behind, next, changed, cursor, records } = list;
  return JSON.stringify([
    ...[nonce, since ?? null, after ?? null],
    ...[node, revision, behind ?? null, next ?? null, changed ?? null, cursor ?? null],
    ...records.map(({ key, json }) => [key, json]),
  ]);
}
