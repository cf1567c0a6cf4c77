import { reply } from '#shared/mail/reply.ts';
import { HostUnusable } from '../smtp/errors.ts';
import type { Opened } from './ladder.ts';
import type { Target, TlsRules } from './wanted.ts';

/**
 * REQUIRETLS at one host (RFC 8689 §4.2.1): the host is proven to be one of the domain's, the session is in TLS with a
 * verified certificate, and there the host offers REQUIRETLS. A message that insists on it goes to no other host.
 */

/** Step 2, before a connection: DNSSEC or MTA-STS (RFC 8461 §4.1) proves it. A host that a route names needs no proof. */
function isProven({ unproven, sts }: Target): boolean {
  return unproven !== true || sts?.matches === true;
}

/** Throws `HostUnusable` where the mail insists on REQUIRETLS and the host is not proven. */
export function checkProof(host: string, target: Target, { demand }: TlsRules): void {
  if (demand?.requireTls !== 'always' || isProven(target)) return;
  const { name, domain, stsUnknown } = target;
  const why = stsUnknown ? `the MTA-STS policy of ${domain} cannot be had now` : `${name} is not`;
  const text = `REQUIRETLS needs a mail exchanger that is proven by DNSSEC or MTA-STS, and ${why}`;
  // Only what cannot change brings the mail back.
  throw new HostUnusable(host, reply(454, '4.7.10', text), false, undefined, stsUnknown ? undefined : '5.7.10');
}

/**
 * Whether mail over this session is sent with REQUIRETLS: the session is fit for it (§2), and the mail asks for it. Throws
 * `HostUnusable` where the mail insists on it and the session is not fit.
 */
export function usesRequireTls(
  host: string,
  { protection, offered, target }: Pick<Opened, 'protection'> & { offered: boolean; target: Target },
  { demand }: TlsRules,
): boolean {
  const asked = demand?.requireTls ?? 'never';
  const isFit = offered && protection.reached === 'verified' && isProven(target);
  if (isFit || asked !== 'always') return isFit && asked !== 'never';
  const text = `this message needs REQUIRETLS, which ${host} does not offer`;
  throw new HostUnusable(host, reply(454, '4.7.30', text), false, undefined, '5.7.30');
}
