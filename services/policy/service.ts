import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Service } from '#shared/contract.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { authenticate } from './authenticate.ts';
import { Failures } from './authentication/failures.ts';
import { FairQueue } from './authentication/fair-queue.ts';
import { decide } from './checks.ts';
import { type ClientName, ReverseDns } from './connect/reverse-dns.ts';
import { type PolicyContract, policyContract } from './contract.ts';
import { ConfiguredDirectory } from './directory/configured-directory.ts';
import { messageFacts, recipientFacts } from './facts.ts';
import { Rates } from './rates/rates.ts';
import { type CountsBus, SharedCounts } from './rates/shared-counts.ts';
import { RelayRules } from './relay/relay-rules.ts';

export type PolicyDeps = {
  settings: Settings;
  log: Logger;
  /** The policy services of the other nodes; without it there are none. */
  peers?: CountsBus | undefined;
};

/** Password hashes computed concurrently (each takes 19 MiB and a thread of the pool), and log-ins that wait for one. */
const PASSWORDS_CHECKED = 2;
const PASSWORDS_WAITING = 1000;

/**
 * The policy service. `start` reads the users file and fails with `unreadable` or `invalid` when it cannot.
 *
 * A request becomes a verdict in three steps: its facts are gathered, the checks of its phase decide (`checks.ts`), and what
 * they accept is counted for the rates. What the facts come from (relay rules, resolver, users file) follows the
 * configuration.
 */
export function createPolicyService({ settings, log, peers }: PolicyDeps): Service<PolicyContract> {
  const queue = new FairQueue(PASSWORDS_CHECKED, PASSWORDS_WAITING);
  const sources = new Sources(settings, log);
  const counts = new SharedCounts({ settings, peers });
  const rates = new Rates({ settings, counts });
  const failures = new Failures(counts);
  const strangers = new LimitedLog();

  return {
    contract: policyContract,
    handlers: {
      'client-check'({ address, gateway }) {
        const classify = (name: ClientName) => decide('connect', { address, gateway, name, rules: sources.rules });
        const name = sources.dns.lookup(address);
        // Without a promise where the name is known: the greeting waits only for a new client's name.
        return name instanceof Promise ? name.then(classify) : classify(name);
      },
      'user-authenticate': (request, { bytes }) =>
        authenticate(request, bytes, { directory: sources.directory.current, failures, queue, log, strangers }),
      'sender-check'(request) {
        const { facts: session, reversePath, size } = request;
        const { limits } = settings.current;
        const facts = { session, reversePath, size, limits, directory: sources.directory.current };
        return rates.count('messages', request, decide('sender', facts));
      },
      'recipient-check'(request) {
        const { rules, directory } = sources;
        const facts = recipientFacts(request, { rules, directory: directory.current, node: settings.current.node });
        return rates.count('recipients', request, decide('recipient', facts));
      },
      'message-check'(request, { bytes }) {
        const { rules, directory } = sources;
        const deps = { rules, directory: directory.current, config: settings.current, now: new Date() };
        return decide('message', messageFacts(request, bytes, deps));
      },
    },
    async start() {
      await sources.open();
      counts.start();
    },
    async stop() {
      sources.close();
      counts.stop();
      strangers.close();
    },
  };
}

/** What facts come from, in line with the configuration. */
class Sources {
  readonly directory: ConfiguredDirectory;
  rules: RelayRules;
  dns: ReverseDns;
  readonly #settings: Settings;
  readonly #log: Logger;
  #unsubscribe: (() => void) | undefined;

  constructor(settings: Settings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
    this.directory = new ConfiguredDirectory(log);
    this.rules = new RelayRules(settings.current);
    this.dns = new ReverseDns(settings.current.dns, log);
  }

  /** Fails with `unreadable` or `invalid` where the users file cannot be used. */
  async open(): Promise<void> {
    await this.directory.open(this.#settings.current.directory.users);
    this.#unsubscribe = this.#settings.onChange((next, previous) => this.#change(next, previous));
  }

  close(): void {
    this.#unsubscribe?.();
    this.dns.close();
    this.directory.close();
  }

  #change(next: Config, previous: Config): void {
    this.rules = new RelayRules(next);
    if (JSON.stringify(next.dns) !== JSON.stringify(previous.dns)) {
      this.dns.close();
      this.dns = new ReverseDns(next.dns, this.#log);
    }
    if (next.directory.users !== previous.directory.users) void this.directory.change(next.directory.users);
  }
}
