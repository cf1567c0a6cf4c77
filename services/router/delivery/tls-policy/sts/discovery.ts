import type { Settings } from '#cluster/config/settings.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { fetchPolicyFile, StsTrouble, type WebServers } from '#shared/mta-sts/fetch.ts';
import { readStsRecord } from '#shared/mta-sts/record.ts';
import { isPublic } from '../../mail-loop.ts';
import type { Resolver } from '../../resolver.ts';
import { hasException, warnOfEnded } from '../exceptions.ts';
import { isInUse, isOld, isUseNews, isValid, type KeptPolicies, type KeptPolicy } from './kept.ts';
import type { StsAnswer, StsPolicies } from './policies.ts';

/**
 * Finds the MTA-STS policies of recipient domains (RFC 8461 §3, §5.1). The policy of a domain is
 *
 *   unknown   its record in DNS is asked for, and where there is one the policy is fetched. If that fails, mail goes as
 *             without a policy (§3.3), and for `FAILED_MS` this `id` is not tried again.
 *   kept      (fetched) it is applied until `max_age` is over, whatever becomes of its record and its web server in the
 *             meantime: whoever could hide these would otherwise take the policy away. It is fetched again when its
 *             record has another `id`, and once a day, when mail asks for it or by itself as long as it is in use; what
 *             comes takes its place. If that fails, the old one goes on.
 *   over      (`max_age` since it was fetched) as unknown.
 *
 * A policy that says `none` is kept like others, so that it is not fetched for every message, and answers that there is
 * none.
 *
 * With a kept policy nobody waits longer than `PATIENCE_MS`, and most wait for the DNS cache alone. A domain is fetched
 * once at a time, by each router that needs it; what one has fetched the others know (`KeptPolicies`).
 */

/** §3.3 asks for five minutes or more between attempts at one `id`. */
const FAILED_MS = 300_000;
/** The same where the old policy still counts. */
const FAILED_AGAIN_MS = 3_600_000;
const PATIENCE_MS = 3000;
const SWEEP_MS = 600_000;
/** Policies that are fetched concurrently: a domain whose web server is slow takes a place for a minute. */
const MOST_FETCHES = 200;
const MOST_FAILED = 10_000;
const LONGEST_NAME = 253;

export type StsDeps = {
  settings: Settings;
  log: Logger;
  resolver: Resolver;
  policies: KeptPolicies;
  /** Where policies are fetched, where that is not the public Internet. */
  webServers?: WebServers | undefined;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

type Failed = { id: string; until: number; answer: StsAnswer };

const NONE = { kind: 'none' } as const satisfies StsAnswer;
const UNKNOWN = { kind: 'none', unknown: true } as const satisfies StsAnswer;

/** Begins to keep policies up to date, until `stop`. */
export function createStsPolicies(deps: StsDeps): Discovery {
  return new Discovery(deps);
}

export class Discovery implements StsPolicies {
  readonly #deps: StsDeps;
  readonly #now: () => number;
  readonly #fetching = new Map<string, Promise<StsAnswer>>();
  readonly #failed = new BoundedMap<string, Failed>(MOST_FAILED);
  readonly #failures = new LimitedLog(FAILED_AGAIN_MS);
  readonly #stopping = new AbortController();
  readonly #sweeping: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #busy = false;

  constructor(deps: StsDeps) {
    this.#deps = deps;
    this.#now = deps.now ?? Date.now;
    const { settings, log } = deps;
    const warn = ({ delivery }: Settings['current']): void => warnOfEnded(delivery['mta-sts'].except, 'MTA-STS', log);
    warn(settings.current);
    this.#unsubscribe = settings.onChange(warn);
    this.#sweeping = setInterval(() => void this.refresh(), SWEEP_MS).unref();
  }

  stop(): void {
    clearInterval(this.#sweeping);
    this.#unsubscribe();
    this.#stopping.abort();
    this.#failures.close();
  }

  async find(domain: string): Promise<StsAnswer> {
    const { enabled, except } = this.#deps.settings.current.delivery['mta-sts'];
    if (!enabled || domain.startsWith('[') || `_mta-sts.${domain}`.length > LONGEST_NAME) return NONE;
    if (hasException(except, domain, this.#now())) return NONE;
    try {
      return await this.#find(domain);
    } catch (error) {
      this.#deps.log.error({ domain, err: error }, 'MTA-STS policy could not be looked for: please report this bug');
      return UNKNOWN;
    }
  }

  /** Fetch what is old and in use, one after the other; in any order, so that routers do not all fetch the same. */
  async refresh(): Promise<void> {
    if (this.#busy || !this.#deps.settings.current.delivery['mta-sts'].enabled) return;
    this.#busy = true;
    try {
      const domains = [...this.#deps.policies.domains()].map((domain) => ({ domain, order: Math.random() }));
      for (const { domain } of domains.sort((a, b) => a.order - b.order)) {
        if (this.#stopping.signal.aborted) return;
        const kept = this.#kept(domain);
        if (kept === undefined || !isOld(kept, this.#now()) || !isInUse(kept, this.#now())) continue;
        const id = await this.#recordId(domain);
        if (id !== undefined) await this.#fetch(domain, id);
      }
    } finally {
      this.#busy = false;
    }
  }

  async #find(domain: string): Promise<StsAnswer> {
    const kept = this.#kept(domain);
    if (kept === undefined) return await this.#discover(domain);
    if (isUseNews(kept, this.#now())) this.#deps.policies.keep(domain, { ...kept, used: this.#now() });
    await atMost(PATIENCE_MS, this.#follow(domain, kept));
    return answerOf(this.#kept(domain) ?? kept);
  }

  /** There is no policy that counts. */
  async #discover(domain: string): Promise<StsAnswer> {
    const record = await this.#record(domain);
    if (record === undefined) return UNKNOWN;
    if ('id' in record) return await this.#fetch(domain, record.id);
    if (record.none === undefined) return NONE;
    return { kind: 'none', failure: { type: 'sts-policy-invalid', reason: `_mta-sts.${domain}: ${record.none}` } };
  }

  /** Resolves when nothing newer than the kept policy is to be expected. */
  async #follow(domain: string, kept: KeptPolicy): Promise<void> {
    const id = await this.#recordId(domain);
    if (id === undefined) return;
    if (id !== kept.id) await this.#fetch(domain, id);
    else if (isOld(kept, this.#now())) void this.#fetch(domain, id);
  }

  async #recordId(domain: string): Promise<string | undefined> {
    const record = await this.#record(domain);
    return record !== undefined && 'id' in record ? record.id : undefined;
  }

  /** Undefined: no name server could tell. */
  async #record(domain: string) {
    try {
      const answer = await this.#deps.resolver.ask(`_mta-sts.${domain}`, 'TXT');
      return readStsRecord(answer.kind === 'found' ? answer.records : []);
    } catch {
      return undefined;
    }
  }

  #kept(domain: string): KeptPolicy | undefined {
    const kept = this.#deps.policies.get(domain);
    return kept !== undefined && isValid(kept, this.#now()) ? kept : undefined;
  }

  /** Never rejects. */
  #fetch(domain: string, id: string): Promise<StsAnswer> {
    const failed = this.#failed.get(domain);
    if (failed?.id === id && this.#now() < failed.until) return Promise.resolve(failed.answer);
    const fetching = this.#fetching.get(domain);
    if (fetching !== undefined) return fetching;
    if (this.#fetching.size >= MOST_FETCHES) {
      const reason = 'too many policies of other domains are being fetched';
      return Promise.resolve({ ...UNKNOWN, failure: { type: 'sts-policy-fetch-error', reason } });
    }
    const fetched = this.#fetchNow(domain, id).finally(() => this.#fetching.delete(domain));
    this.#fetching.set(domain, fetched);
    return fetched;
  }

  async #fetchNow(domain: string, id: string): Promise<StsAnswer> {
    const { policies, webServers } = this.#deps;
    const addresses = (host: string) => this.#addresses(host);
    try {
      const file = await fetchPolicyFile(domain, { ...webServers, addresses, signal: this.#stopping.signal });
      const now = this.#now();
      this.#failed.delete(domain);
      const used = this.#kept(domain)?.used ?? now;
      const kept = { id, file, fetched: now, used };
      policies.keep(domain, kept);
      return answerOf(kept);
    } catch (error) {
      return this.#fail(domain, id, error instanceof StsTrouble ? error : asTrouble(error));
    }
  }

  #fail(domain: string, id: string, { type, message }: StsTrouble): StsAnswer {
    // The domain hears nothing of a fetch that this router broke off.
    if (this.#stopping.signal.aborted) return UNKNOWN;
    // A file that is no policy is the word of the domain; the rest may be the network, or whoever stands in it.
    const none = type === 'sts-policy-invalid' ? NONE : UNKNOWN;
    const answer: StsAnswer = { ...none, failure: { type, reason: message } };
    const kept = this.#kept(domain);
    const wait = kept?.id === id ? FAILED_AGAIN_MS : FAILED_MS;
    this.#failed.set(domain, { id, until: this.#now() + wait, answer });
    this.#failures.say(domain, (repeated) => {
      const fields = { domain, id, failure: type, error: message, ...repeated };
      const { log } = this.#deps;
      // Only with a policy that counts is it a loss (§3.3).
      if (kept !== undefined && kept.file.mode !== 'none') {
        log.warn(fields, 'MTA-STS policy cannot be refreshed: the one that was fetched before counts until its end');
      } else {
        log.info(fields, 'MTA-STS policy cannot be fetched: mail goes as without one');
      }
    });
    return answer;
  }

  async #addresses(host: string): Promise<string[]> {
    const { addresses } = await this.#deps.resolver.addresses(host);
    return addresses.filter((address) => isPublic(this.#deps.settings.current, address));
  }
}

/** Resolves with the promise, or after `ms`. */
async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function answerOf({ id, file: { mode, mx, lines } }: KeptPolicy): StsAnswer {
  return mode === 'none' ? NONE : { kind: 'policy', policy: { id, mode, mx, lines } };
}

function asTrouble(error: unknown): StsTrouble {
  return new StsTrouble('sts-policy-fetch-error', errorText(error));
}
