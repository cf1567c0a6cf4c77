import { chainIn, hostNames } from '#cluster/certificates/pair.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import type { CertificateRecord } from '../../records/certificate-record.ts';

/** When a certificate is to be ordered, as functions of its record. Times are ms since 1970. */

/** Between two orders of one certificate that fail: a minute, twice that each time, at most six hours, give or take a quarter. */
const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 6 * 3_600_000;
const JITTER = 0.25;

/** When the current one should be renewed: as the authority suggests, else when two thirds of its life are over. */
export function renewalTime({ name, current, acme }: CertificateRecord): number | undefined {
  if (current === undefined) return undefined;
  const [own] = chainIn(`certificate ${name}`, current.chain);
  const [from, until] = [own.validFromDate.getTime(), own.validToDate.getTime()];
  const twoThirds = from + ((until - from) * 2) / 3;
  const { suggested } = acme ?? {};
  // A suggestion only ever brings it forward: what an authority says must not let a certificate expire.
  return suggested?.fingerprint === own.fingerprint256 ? Math.min(suggested.at, twoThirds) : twoThirds;
}

/** Why it is to be ordered now; undefined while it is not. */
export function dueReason(
  record: CertificateRecord | undefined,
  { names }: Pick<OrderedCertificate, 'names'>,
  now: number,
): string | undefined {
  const { current, acme } = record ?? {};
  const { problem, asked } = acme ?? {};
  if (asked !== undefined && asked > (problem?.at ?? 0)) return 'an administrator asked for it';
  if (problem !== undefined && now < problem.next) return undefined;
  if (record === undefined || current === undefined) return 'there is none yet';
  const [own] = chainIn(`certificate ${record.name}`, current.chain);
  const missing = names.find((name) => !hostNames(own).includes(name));
  if (missing !== undefined) return `it is not for ${missing}`;
  return now >= (renewalTime(record) ?? 0) ? 'it is time to renew it' : undefined;
}

/** When an order that failed `tries` times in a row is tried again; `chance` from 0 to 1. */
export function nextTry(tries: number, now: number, chance: number): number {
  const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries - 1, 20));
  return Math.round(now + delayMs * (1 - JITTER + 2 * JITTER * chance));
}
