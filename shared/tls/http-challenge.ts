import { z } from 'zod';
import type { Nek } from '../dkim/nek.ts';
import { judgeMacs, macsOf, type NekMac, type Verdict } from '../dkim/nek-mac.ts';

/**
 * What an authority fetches by HTTP from a host to prove that it is ours (HTTP-01, RFC 8555 §8.3): the key authorization
 * of a token. The base64url alphabet without padding, of 128 bits at least (§8.3); 43 characters after the dot, the
 * thumbprint of the key of the account (§8.1).
 */
export const HttpChallenge = z.object({
  token: z.string().regex(/^[A-Za-z0-9_-]{22,256}$/, 'not a token: 22 to 256 characters of base64url'),
  value: z.string().regex(/^[A-Za-z0-9_-]{22,256}\.[A-Za-z0-9_-]{43}$/, 'not a key authorization'),
});
export type HttpChallenge = z.infer<typeof HttpChallenge>;

const PURPOSE = 'challenge-list';

/**
 * Whoever could give a listener another key authorization would get certificates for our names. So an answer with
 * challenges is proven by a NEK of `tls.nek`, as that with certificates is.
 */
export const proveChallenges = (neks: readonly Nek[], nonce: string, list: readonly HttpChallenge[]): NekMac[] =>
  macsOf(neks, PURPOSE, textOf(nonce, list));

export const judgeChallenges = (
  neks: readonly Nek[],
  nonce: string,
  { challenges, macs }: { challenges: readonly HttpChallenge[]; macs: readonly NekMac[] },
): Verdict => judgeMacs(neks, PURPOSE, textOf(nonce, challenges), macs);

const textOf = (nonce: string, list: readonly HttpChallenge[]): string =>
  JSON.stringify([nonce, ...list.map(({ token, value }) => [token, value])]);
