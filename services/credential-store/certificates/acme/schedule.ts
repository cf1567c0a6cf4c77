import { chainIn, hostNames } from '#cluster/certificates/pair.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import type { AcmeState, CertificateRecord } from '../../records/certificate-record.ts';

/** When a certificate is to be ordered, as functions of its record. Times are ms since 1970. */

const DAY_MS = 86_400_000;

/** Between two orders of one certificate that fail: a minute, twice that each time, at most six hours, give or take a quarter. */
const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 6 * 3_600_000;
const JITTER = 0.25;

/**
 * How long to wait before an authority is asked again when a certificate should be renewed: as its `Retry-After` says,
 * between a minute and a day (RFC 9773 §4.3.2), and six hours where it says nothing.
 */
const SOONEST_ASK_MS = 60_000;
const LATEST_ASK_MS = DAY_MS;
const USUAL_ASK_MS = 6 * 3_600_000;

/** Of the life of a certificate, when it is renewed at the latest, whatever an authority says. */
const LATEST = 5 / 6;

/** `retryAfter`: seconds or a date (RFC 9110 §10.2.3). */
export function nextAsk(retryAfter: string | undefined, now: number): number {
  const text = retryAfter?.trim() ?? '';
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (Number.isNaN(waitMs)) return now + USUAL_ASK_MS;
  return now + Math.min(LATEST_ASK_MS, Math.max(SOONEST_ASK_MS, waitMs));
}

/** A point in a window (RFC 9773 §4.2); `chance` from 0 to 1. */
export const pointIn = (start: number, end: number, chance: number): number =>
  Math.round(start + (end - start) * chance);

/** `authority`: as it suggests; `latest`: it suggests later than is safe; `life`: two thirds of its life are over. */
export type Renewal = { at: number; why: 'authority' | 'latest' | 'life' };

/** When the current one should be renewed, and why then. */
export function renewalOf({ name, current, acme }: CertificateRecord): Renewal | undefined {
  if (current === undefined) return undefined;
  const [own] = chainIn(`certificate ${name}`, current.chain);
  const [from, until] = [own.validFromDate.getTime(), own.validToDate.getTime()];
  const { suggested } = acme ?? {};
  if (suggested?.fingerprint !== own.fingerprint256) return { at: from + ((until - from) * 2) / 3, why: 'life' };
  // What an authority says must not let a certificate expire.
  const latest = from + (until - from) * LATEST;
  return suggested.at <= latest ? { at: suggested.at, why: 'authority' } : { at: latest, why: 'latest' };
}

/** Why it is to be ordered now; undefined while it is not. */
export function dueReason(
  record: CertificateRecord | undefined,
  { names }: Pick<OrderedCertificate, 'names'>,
  now: number,
): string | undefined {
  const { current, acme } = record ?? {};
  const { problem } = acme ?? {};
  if (isAsked(acme)) return 'an administrator asked for it';
  if (problem !== undefined && now < problem.next) return undefined;
  if (record === undefined || current === undefined) return 'there is none yet';
  const [own] = chainIn(`certificate ${record.name}`, current.chain);
  const missing = names.find((name) => !hostNames(own).includes(name));
  if (missing !== undefined) return `it is not for ${missing}`;
  const renewal = renewalOf(record);
  if (renewal === undefined || now < Math.max(renewal.at, afterSoon(record))) return undefined;
  return renewal.why === 'authority' ? 'the authority suggests to renew it' : 'it is time to renew it';
}

/** Whether an administrator asked for an order that was not tried yet. */
export const isAsked = ({ asked, problem }: Partial<AcmeState> = {}): boolean =>
  asked !== undefined && asked > (problem?.at ?? 0);

/** Whether the current one would not get as old as a day if it was replaced at `now`. */
export const isSoon = ({ current }: Pick<CertificateRecord, 'current'>, now: number): boolean =>
  current?.origin === 'acme' && now - current.since < DAY_MS;

/**
 * Before when the current one is not renewed: an authority that wants each certificate back as soon as it is issued, or issues
 * what is nearly over, must not make us order all the time. As after failures, but at most half of what is left of its life.
 */
function afterSoon({ name, current, acme }: CertificateRecord): number {
  const { soon = 0 } = acme ?? {};
  if (current === undefined || soon === 0) return 0;
  const [own] = chainIn(`certificate ${name}`, current.chain);
  return Math.min(nextTry(soon, current.since, 0.5), (current.since + own.validToDate.getTime()) / 2);
}

/** When an order that failed `tries` times in a row is tried again; `chance` from 0 to 1. */
export function nextTry(tries: number, now: number, chance: number): number {
  const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries - 1, 20));
  return Math.round(now + delayMs * (1 - JITTER + 2 * JITTER * chance));
}
