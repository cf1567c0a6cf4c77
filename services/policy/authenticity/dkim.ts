import type { Signature, SignatureResult } from 'mailauth/lib/dkim/dkim-verifier.js';
import { toALabel } from 'mailauth/lib/tools.js';
import { type DkimFound, MOST_SIGNATURES } from '#shared/mail/authenticity.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { oneLine } from '#shared/text.ts';
import { type SignatureVerifier, type Unverified, unreadable } from './signatures.ts';

/** What was found, and what DMARC asks of it. */
export type Signed = {
  found: DkimFound;
  /** Bytes of the body after those that it covers (l=): whoever passed it on may have written them. */
  unsigned: number;
};

/** Comments of mailauth that say that the key is missing or not for this: no later attempt finds another. */
const PERMANENT = new Set([
  ...['no key', 'unknown key version', 'unknown key type', 'invalid public key', 'inappropriate hash algorithm'],
  ...['key not for email', 'inappropriate key algorithm', 'domain mismatch', 'From field not signed'],
]);

/** The signatures to verify (the topmost are the newest), and what is said of the others. */
export function chooseSignatures(header: readonly HeaderField[]): { chosen: HeaderField[]; left: DkimFound[] } {
  const all = header.filter(({ name }) => name === 'dkim-signature');
  const first = all.slice(0, MOST_SIGNATURES);
  const chosen = first.filter((field) => unreadable(field) === undefined);
  const left: DkimFound[] = first.flatMap((field) => {
    const reason = unreadable(field);
    return reason === undefined ? [] : { result: 'policy' as const, aligned: false, reason };
  });
  if (all.length > MOST_SIGNATURES) {
    const reason = `too many signatures: ${all.length - MOST_SIGNATURES} more were not looked at`;
    left.push({ result: 'policy', aligned: false, reason });
  }
  return { chosen, left };
}

/** Verify one. `aligned` is for DMARC to say. */
export async function verifySignature(verifier: SignatureVerifier, signature: Signature): Promise<Signed> {
  const refused = verifier.refused.get(signature);
  if (refused !== undefined) return unverified(signature, refused);
  if (signature.skip !== undefined) return unverified(signature, { result: 'neutral', reason: signature.skip });
  const { status } = await verifier.verifySignature(signature);
  const { result, reason } = outcome(status);
  const unsigned = status.underSized ?? 0;
  const partial = result === 'pass' && unsigned > 0 ? { partial: true } : {};
  return { found: { ...said(signature), result, ...partial, ...reasonIn(reason) }, unsigned };
}

function unverified(signature: Signature, { result, reason }: Unverified): Signed {
  return { found: { ...said(signature), result, reason }, unsigned: 0 };
}

function outcome(status: SignatureResult['status']): { result: DkimFound['result']; reason: string | undefined } {
  const { comment, underSized = 0, testing } = status;
  const reason = typeof comment === 'string' ? comment : undefined;
  switch (status.result) {
    case 'pass':
      if (underSized > 0) return { result: 'pass', reason: `${underSized} bytes of the body are not signed` };
      return { result: 'pass', reason: testing ? 'the domain tests DKIM' : undefined };
    case 'policy':
      return { result: 'policy', reason: reason ?? 'the key is shorter than 1024 bits' };
    case 'fail':
    case 'temperror':
      return { result: status.result, reason };
    default:
      return { result: reason !== undefined && PERMANENT.has(reason) ? 'permerror' : 'neutral', reason };
  }
}

/** What the signature says of itself. */
function said(
  signature: Signature,
): Pick<DkimFound, 'domain' | 'selector' | 'algorithm' | 'signature' | 'identity' | 'aligned'> {
  const { signingDomain, selector, identity, algorithm, parsed } = signature;
  const text = (name: string, value: unknown, longest: number) => {
    const shown = oneLine(String(value ?? ''), longest - 1).trim();
    return shown === '' ? {} : { [name]: shown };
  };
  return {
    // As its key is asked for: another reading would be another domain.
    ...text('domain', toALabel(signingDomain).toLowerCase(), 255),
    ...text('selector', selector, 255),
    ...text('identity', identity, 500),
    ...text('algorithm', algorithm.toLowerCase(), 50),
    ...text('signature', String(parsed.b?.value ?? '').slice(0, 8), 16),
    aligned: false,
  };
}

export function reasonIn(reason: string | undefined): { reason?: string } {
  return reason === undefined ? {} : { reason: oneLine(reason, 300) };
}
