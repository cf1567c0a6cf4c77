import type { Logger } from '#shared/log.ts';

/** Recipient domains that a policy does not hold for until a day, as the configuration has them. */
export type TlsException = { domain: string; until: string };

export function hasException(list: readonly TlsException[], domain: string, now: number): boolean {
  return list.some((entry) => entry.domain === domain && !isOver(entry, now));
}

/** The last day counts, by UTC. */
function isOver({ until }: TlsException, now: number): boolean {
  return new Date(now).toISOString().slice(0, 10) > until;
}

/** Say in the log which exceptions from `what` have no effect any more. */
export function warnOfEnded(list: readonly TlsException[], what: string, log: Logger): void {
  const now = Date.now();
  for (const { domain, until } of list.filter((entry) => isOver(entry, now))) {
    log.warn(
      { domain, until },
      `an exception from ${what} has ended and is not applied: remove it, or give it a new end`,
    );
  }
}
