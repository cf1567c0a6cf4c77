import type { DomainConfig } from '#cluster/config/schema/schema.ts';
import { errorText } from '#shared/errors.ts';
import { type HeaderField, splitHeader } from '#shared/mail/header.ts';
import { authorOf } from './author.ts';
import type { SignOutcome } from './contract.ts';
import { dkimSignature, type SignatureKey } from './dkim-signature.ts';
import { malformation, signedHeader } from './header-hash.ts';
import type { Keyring } from './keyring.ts';
import { nearestEntry, type Plan, planFor } from './plan.ts';

export type SignRequest = { bodyHash: string; reversePath: string; header: Uint8Array };

/** Decide whether a message is to be signed, and sign it with every active key of its domain. Never throws. */
export async function signMessage(
  request: SignRequest,
  domains: DomainConfig[],
  keyring: Pick<Keyring, 'loaded' | 'keysOf'>,
): Promise<SignOutcome> {
  const { buffer, byteOffset, byteLength } = request.header;
  const block = Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
  const fields = splitHeader(block);
  const author = authorOf(fields, request.reversePath);

  if (!keyring.loaded) return beforeKeysAreLoaded(author.domains, domains);

  const plan = planOf(author.domains, domains, keyring);
  if (plan === undefined) return { outcome: 'not-configured' };
  const problem = author.problem ?? malformation(block, fields);
  if (problem !== undefined) return withoutSignature(plan, problem, 'permanent');
  if (plan.keys.length === 0) return withoutSignature(plan, `there is no active key for ${plan.wanted}`, 'temporary');
  return signWith(plan, fields, request.bodyHash);
}

async function signWith(plan: Plan, fields: HeaderField[], bodyHash: string): Promise<SignOutcome> {
  const usable = plan.keys.filter((k) => k.usable);
  if (usable.length === 0) {
    const reasons = plan.keys.map((k) => (k.usable ? '' : k.reason));
    return withoutSignature(plan, `no key of ${plan.wanted} can be used: ${reasons.join('; ')}`, 'temporary');
  }
  const header = signedHeader(fields);
  const time = Math.floor(Date.now() / 1000);
  const results = await Promise.allSettled(usable.map((key) => dkimSignature(header, key, bodyHash, time)));
  const signatures: string[] = [];
  const keys: Pick<SignatureKey, 'domain' | 'selector'>[] = [];
  const errors: string[] = [];
  for (const [i, key] of usable.entries()) {
    const result = results[i];
    if (result?.status === 'fulfilled') {
      signatures.push(result.value);
      keys.push({ domain: key.domain, selector: key.selector });
    } else errors.push(`${key.selector} of ${key.domain}: ${errorText(result?.reason)}`);
  }
  if (signatures.length === 0) return withoutSignature(plan, `signing failed: ${errors.join('; ')}`, 'temporary');
  return { outcome: 'signed', header: signatures.join(''), keys };
}

/** The plan for the author's domain; where it is not clear which that is, the strictest of all. */
function planOf(names: string[], domains: DomainConfig[], keyring: Pick<Keyring, 'keysOf'>): Plan | undefined {
  const plans = names.flatMap((name) => planFor(name, domains, (d) => keyring.keysOf(d)) ?? []);
  return plans.find((plan) => plan.mode === 'enforce') ?? plans[0];
}

/**
 * Before the first answer of a credential-store any domain may have keys: mail waits, so that none leaves unsigned by
 * accident.
 */
function beforeKeysAreLoaded(names: string[], domains: DomainConfig[]): SignOutcome {
  const domain = names.find((name) => nearestEntry(name, domains)?.signing.mode !== 'off');
  if (domain === undefined) return { outcome: 'not-configured' };
  return {
    outcome: 'hold',
    domain,
    reason: 'the signing keys are not loaded yet: the credential-store does not answer',
  };
}

function withoutSignature(plan: Plan, reason: string, cause: 'temporary' | 'permanent'): SignOutcome {
  const { domain } = plan;
  if (plan.mode === 'best-effort') return { outcome: 'unsigned', domain, reason };
  return { outcome: cause === 'permanent' ? 'refuse' : 'hold', domain, reason };
}
