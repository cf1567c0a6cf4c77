import { createRequire } from 'node:module';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { isMailbox } from '#shared/directory/values.ts';
import { errorCode } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';

/** Where the reports on a domain go, by its `rua` and the consent of others (RFC 9990 §3.5, §4). */

/** Answers as `resolve` of node:dns/promises does. */
export type Resolve = (name: string, type: string) => Promise<unknown>;

/** `most`: bytes of a message that it takes. */
export type Target = { address: string; host: string; most: number };

/** Targets of one record; more are not looked at (RFC 9989 §4.7 leaves it to the sender, two at least). */
const MOST_TARGETS = 10;
const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
/** DNS says that there is no such record; other errors are trouble that passes. */
const NONE = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME']);
const LONGEST_NAME = 253;

type Lookup = (name: string) => Promise<unknown>;
type DmarcRecords = {
  createRecordLookup: (resolve: Resolve, options: { strict: boolean }) => Lookup;
  getOrgDomain: (domain: string, lookup: Lookup) => Promise<string>;
};
const require = createRequire(import.meta.url);
/** A deep import: the version is pinned in package.json. Loaded with the first report, since it is large. */
const dmarcRecords = () => require('mailauth/lib/dmarc/get-dmarc-record.js') as DmarcRecords;

/** The mail addresses of a `rua`, in order; of other kinds, and what cannot be read, nothing. */
export function targetsOf(rua: string): Target[] {
  return rua
    .split(',', MOST_TARGETS)
    .flatMap((uri) => mailTarget(uri.trim()) ?? [])
    .filter((target, n, all) => all.findIndex(({ address }) => address === target.address) === n);
}

/** The address in a mailto URI (RFC 6068 §2), and the obsolete size (RFC 9989 §4.8). */
export function mailTarget(uri: string): Target | undefined {
  const [, encoded, size, unit = ''] = /^mailto:([^?!,]+)(?:\?[^!]*)?(?:!(\d{1,15})([kmgt]?))?$/i.exec(uri) ?? [];
  if (encoded === undefined) return undefined;
  const given = decoded(encoded);
  if (given === undefined || !isMailbox(given) || !/^[\x21-\x7e]+$/.test(given)) return undefined;
  const host = normalizeDomain(domainOf(given));
  const most = size === undefined ? Number.POSITIVE_INFINITY : Number(size) * (UNITS[unit.toLowerCase()] ?? 1);
  return { address: `${given.slice(0, given.lastIndexOf('@'))}@${host}`, host, most };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/**
 * Where a report on `domain` may go: the target itself, what its host names instead, or nowhere. Rejects with an error of
 * DNS where that cannot be told now.
 */
export async function allowed(domain: string, target: Target, resolve: Resolve): Promise<Target[]> {
  if (await isSameOrganisation(domain, target.host, resolve)) return [target];
  const name = `${domain}._report._dmarc.${target.host}`;
  if (name.length > LONGEST_NAME) return [];
  const consents = (await textsAt(name, resolve)).filter((text) => /^v[ \t]*=[ \t]*DMARC1[ \t]*(;|$)/.test(text));
  if (consents.length === 0) return [];
  const [instead] = consents.flatMap((text) => /(?:^|;)[ \t]*rua[ \t]*=([^;]*)/i.exec(text)?.[1] ?? []);
  if (instead === undefined) return [target];
  // RFC 9990 §4: its own addresses alone; else none at all, the first one neither.
  const targets = targetsOf(instead);
  return targets.every(({ host }) => host === target.host) ? targets : [];
}

async function isSameOrganisation(domain: string, host: string, resolve: Resolve): Promise<boolean> {
  if (domain === host) return true;
  const { createRecordLookup, getOrgDomain } = dmarcRecords();
  const lookup = createRecordLookup(resolve, { strict: true });
  return (await getOrgDomain(domain, lookup)) === (await getOrgDomain(host, lookup));
}

/** The TXT records at a name. Rejects as `resolve` does, but not where there are none. */
export async function textsAt(name: string, resolve: Resolve): Promise<string[]> {
  try {
    const found = (await resolve(name, 'TXT')) as string[][];
    return found.map((strings) => strings.join('').trim());
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** The answer of DNS is that there is nothing. */
export function isMissing(error: unknown): boolean {
  return NONE.has(errorCode(error) ?? '');
}

/** Whether DNS works at all: it says of a name below a domain of ours, which nobody asked for before, what there is. */
export function hearsDns(domain: string, resolve: Resolve): Promise<boolean> {
  return resolve(`${newId(16).toLowerCase()}.${domain}`, 'TXT').then(
    () => true,
    (error: unknown) => isMissing(error),
  );
}
