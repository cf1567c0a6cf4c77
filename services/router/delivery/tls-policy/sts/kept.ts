import type { PolicyFile } from '#shared/mta-sts/policy-file.ts';

/** Policies that were fetched, by this router or another one, and how long each counts. Times in ms since 1970. */

export type KeptPolicy = {
  /** `id` of the record that it was fetched for. */
  id: string;
  file: PolicyFile;
  fetched: number;
  /** When mail was last sent by it, to a day or so. */
  used: number;
};

export type KeptPolicies = {
  get(domain: string): KeptPolicy | undefined;
  keep(domain: string, policy: KeptPolicy): void;
  /** The domains of all of them. */
  domains(): Iterable<string>;
};

const DAY_MS = 86_400_000;
/** One that says that it may not be kept is kept for this time, or each message would fetch it. */
const SHORTEST_MS = 300_000;
/** How old one becomes before it is fetched again: §3.3 suggests a day. */
const REFRESH_MS = DAY_MS;
/** One that no mail was sent by for this time is not fetched again: it lasts until its end. */
const UNUSED_MS = 30 * DAY_MS;

export function endOf({ file, fetched }: KeptPolicy): number {
  return fetched + Math.max(file.maxAge * 1000, SHORTEST_MS);
}

export function isValid(policy: KeptPolicy, now: number): boolean {
  return now < endOf(policy);
}

/** Whether it is to be fetched again although its record says nothing new: early enough to do so more than once. */
export function isOld(policy: KeptPolicy, now: number): boolean {
  return now - policy.fetched >= Math.min(REFRESH_MS, (endOf(policy) - policy.fetched) / 2);
}

/** Whether it is to be kept up to date while no mail asks for it. Where there is nothing to protect it need not be. */
export function isInUse({ file, used }: KeptPolicy, now: number): boolean {
  return file.mode !== 'none' && now - used < UNUSED_MS;
}

/** Whether that it is used is news. */
export function isUseNews({ used }: KeptPolicy, now: number): boolean {
  return now - used >= DAY_MS;
}
