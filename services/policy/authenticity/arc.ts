import type { ARCData } from 'mailauth';
import { arc } from 'mailauth/lib/arc/index.js';
import { toALabel } from 'mailauth/lib/tools.js';
import type { ArcFound } from '#shared/mail/authenticity.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { oneLine } from '#shared/text.ts';
import { reasonIn } from './dkim.ts';
import { LEAST_BITS } from './dkim-keys.ts';
import { type SignatureVerifier, unreadable } from './signatures.ts';

const ARC_FIELDS = new Set(['arc-seal', 'arc-message-signature', 'arc-authentication-results']);

/** RFC 8617 §4.2.1: 50 sets. Each seal covers all sets before it, so the work grows with the square of their size. */
const MOST_FIELDS = 3 * 50;
const MOST_BYTES = 128 * 1024;

/** The fields of the chain, or why they are not looked at. */
export function chainOf(header: readonly HeaderField[]): { chain: HeaderField[]; problem?: string } {
  const chain = header.filter(({ name }) => ARC_FIELDS.has(name));
  const bytes = chain.reduce((sum, { raw }) => sum + raw.length, 0);
  if (chain.length > MOST_FIELDS) return { chain: [], problem: 'the chain has more than 50 sets' };
  if (bytes > MOST_BYTES) return { chain: [], problem: `the chain is larger than ${MOST_BYTES} bytes` };
  const problem = chain.map(unreadable).find((why) => why !== undefined);
  return problem === undefined ? { chain } : { chain: [], problem };
}

/** The chain that the verifier has read (RFC 8617 §5.2). */
export async function verifyChain(verifier: SignatureVerifier): Promise<ArcFound> {
  const message = verifier.signatureHeaders.find(({ type }) => type === 'ARC');
  const { lastEntry } = verifier.arc;
  if (message !== undefined && lastEntry !== undefined && message.skip === undefined) {
    lastEntry.messageSignature = await verifier.verifySignature(message);
  }
  const { resolver } = verifier.keyCache;
  const { status } = await arc(verifier.arc as unknown as ARCData, {
    resolver,
    minBitLength: LEAST_BITS,
    strict: true,
  });
  const sets = lastEntry?.i ?? 0;
  const sealer = toALabel(String(lastEntry?.['arc-seal']?.parsed?.d?.value ?? '')).toLowerCase();
  const result = status.result === 'pass' || status.result === 'none' ? status.result : 'fail';
  return {
    ...{ result, sets },
    ...(sealer === '' ? {} : { sealer: oneLine(sealer, 254) }),
    ...(result === 'fail' ? reasonIn(status.comment ?? 'the chain cannot be verified') : {}),
  };
}
