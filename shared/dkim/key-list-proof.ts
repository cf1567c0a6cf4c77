import type { KeyIdentity, WrappedKey } from './key-wrap.ts';
import type { Nek } from './nek.ts';
import { judgeMacs, macsOf, type NekMac, type Verdict } from './nek-mac.ts';

/**
 * The proof that an answer of keys comes from a process with the NEK, and to this question: codes over the question's
 * nonce and everything in the answer that signers use. A member that a later version adds to the answer is not in it.
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
