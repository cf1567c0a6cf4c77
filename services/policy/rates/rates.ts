import type { RatesConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { nearest } from '#shared/address/domains.ts';
import { printable } from '#shared/text.ts';
import { formatRate, type Rate } from '#shared/units.ts';
import type { Refusal, SessionFacts } from '../contract.ts';
import { defer } from '../verdict.ts';
import type { SharedCounts } from './shared-counts.ts';

/**
 * Limits for senders (`rates.users`, `rates.senders`): messages and recipients in a period, through all nodes together
 * (shared-counts.ts). Messages are counted at MAIL, recipients at RCPT, when everything else has let them pass. Beyond the
 * limit the reply is 450 4.7.1 with the time to wait; what was refused does not count, so waiting helps. A sender without
 * a limit is not counted.
 */

export type Counted = 'messages' | 'recipients';
type Request = { facts: SessionFacts; reversePath: string };

/** What is counted together, and how much of it is allowed. */
type Limit = { who: string; rate: Rate };

export class Rates {
  readonly #settings: Settings;
  readonly #counts: SharedCounts;

  constructor({ settings, counts }: { settings: Settings; counts: SharedCounts }) {
    this.#settings = settings;
    this.#counts = counts;
  }

  /** Count what `verdict` accepts, or refuse it where that is too much. */
  count<Verdict extends { action: 'accept' } | Refusal>(what: Counted, request: Request, verdict: Verdict) {
    return this.#settle(what, request, verdict, true);
  }

  /** As `count`, without counting it. */
  look<Verdict extends { action: 'accept' } | Refusal>(what: Counted, request: Request, verdict: Verdict) {
    return this.#settle(what, request, verdict, false);
  }

  #settle<Verdict extends { action: 'accept' } | Refusal>(
    what: Counted,
    request: Request,
    verdict: Verdict,
    counts: boolean,
  ): Verdict | Extract<Refusal, { action: 'defer' }> {
    if (verdict.action !== 'accept') return verdict;
    const limit = limitFor(this.#settings.current.rates, what, request);
    if (limit === undefined) return verdict;
    const { who, rate } = limit;
    const key = `${what} of ${who}` as const;
    const wait = this.#counts.strictWait(key, rate);
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      const text = `Rate limit of ${formatRate(rate)} ${what} for ${printable(who, 160)} is reached, try again in ${seconds} s`;
      return defer(450, '4.7.1', text, [text]);
    }
    if (counts) this.#counts.add(key, rate.per);
    return verdict;
  }
}

/** The limit for a sender, if there is one: the most specific entry counts, though it may not limit `what`. */
function limitFor(rates: RatesConfig, what: Counted, { facts, reversePath }: Request): Limit | undefined {
  const { user } = facts;
  const found = user === undefined ? senderLimit(rates.senders, reversePath) : userLimit(rates.users, user);
  const rate = found?.entry[what];
  return found === undefined || rate === undefined ? undefined : { who: found.who, rate };
}

function userLimit(users: RatesConfig['users'], user: string) {
  const key = mailboxKey(user);
  const entry = users.find(({ name }) => mailboxKey(name) === key) ?? users.find(({ name }) => name === '*');
  return entry && { entry, who: `user ${key}` };
}

/** An address counts by itself, a domain with everything below it, any other domain by itself. */
function senderLimit(senders: RatesConfig['senders'], reversePath: string) {
  if (reversePath === '' || senders.length === 0) return undefined;
  const address = mailboxKey(canonicalAddress(reversePath));
  const exact = senders.find(({ from }) => from.includes('@') && mailboxKey(canonicalAddress(from)) === address);
  if (exact !== undefined) return { entry: exact, who: `sender ${address}` };
  const domain = domainOf(address);
  const limitOf = (name: string) => senders.find(({ from }) => from === name);
  const entry = nearest(domain, limitOf);
  if (entry !== undefined) return { entry, who: `senders of ${entry.from}` };
  const any = limitOf('*');
  return any && { entry: any, who: `senders of ${domain}` };
}
