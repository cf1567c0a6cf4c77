import { normalizeDomain } from '#shared/address/address.ts';
import type { TlsRow } from '#shared/mail/reports/tls-rows.ts';
import { oneLine } from '#shared/text.ts';
import type { AppliedPolicy, TlsResult } from '../../delivery/tls-policy/result.ts';
import { DOMAIN, plainAddress } from '../names.ts';

/** What the reports count of a session. Pure. */

/** Texts of a policy: those of a large one are cut off. */
const MOST_TEXTS = 30;
const LONGEST_TEXT = 500;
const MOST_CHARACTERS = 4000;
const LONGEST_REASON = 200;

/** The domain that a session counts for, and how; undefined where there is no domain, as with an address literal. */
export function rowOf({ domain, policy, host, failure }: TlsResult): { domain: string; row: TlsRow } | undefined {
  const name = normalizeDomain(domain);
  if (!DOMAIN.test(name)) return undefined;
  // The order of the keys is part of what tells rows apart (daily/row-store.ts).
  const row: TlsRow = {
    policy: policyOf(policy),
    ...(failure && {
      failure: {
        type: failure.type,
        ...(failure.reason === '' ? {} : { reason: reasonOf(failure.reason) }),
        ...(host && {
          ...(host.localAddress === undefined ? {} : { from: plainAddress(host.localAddress) }),
          host: host.name.slice(0, 255),
          address: plainAddress(host.address),
        }),
      },
    }),
  };
  return { domain: name, row };
}

/** OpenSSL begins with the number of its thread, which would make each failure one of its own. */
function reasonOf(text: string): string {
  return oneLine(text.replace(/\b[0-9A-F]{8,16}:(?=error:)/g, ''), LONGEST_REASON).trim();
}

function policyOf({ type, strings, mxHosts }: AppliedPolicy): TlsRow['policy'] {
  return { type, strings: bounded(strings), mxHosts: bounded(mxHosts).filter((pattern) => pattern.length <= 255) };
}

function bounded(texts: readonly string[]): string[] {
  let left = MOST_CHARACTERS;
  return texts
    .slice(0, MOST_TEXTS)
    .map((text) => text.slice(0, LONGEST_TEXT))
    .filter((text) => {
      left -= text.length;
      return left >= 0;
    });
}
