import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Service } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';
import { authenticate } from './authentication/authenticate.ts';
import { ConcurrencyLimit } from './authentication/concurrency-limit.ts';
import { connect } from './connect.ts';
import { type PolicyContract, policyContract } from './contract.ts';
import { ConfiguredDirectory } from './directory/configured-directory.ts';
import { message } from './message.ts';
import { type PolicyPeers, Rates } from './rates/rates.ts';
import { recipient } from './recipient.ts';
import { RelayRules } from './relay/relay-rules.ts';
import { ReverseDns } from './reverse-dns.ts';
import { sender } from './sender.ts';

export type PolicyDeps = {
  settings: Settings;
  log: Logger;
  /** The policy services of the other nodes; without it there are none. */
  peers?: PolicyPeers | undefined;
};

/** argon2 works that run at once (each takes 19 MiB and a thread of the pool), and log-ins that wait in line. */
const PASSWORDS_CHECKED = 2;
const PASSWORDS_WAITING = 100;

/**
 * The policy service. `start` reads the users file and fails with `unreadable` or `invalid` when it cannot.
 *
 * Made once for each configuration, and again when that changes: relay rules, the resolver, the followed users file.
 * The questions themselves are pure functions, one file each.
 */
export function createPolicyService({ settings, log, peers }: PolicyDeps): Service<PolicyContract> {
  const limit = new ConcurrencyLimit(PASSWORDS_CHECKED, PASSWORDS_WAITING);
  const directory = new ConfiguredDirectory(log);
  let rules = new RelayRules(settings.current);
  let dns = new ReverseDns(settings.current.dns, log);
  const rates = new Rates({ settings, peers });
  let unsubscribe: (() => void) | undefined;

  const apply = (next: Config, previous: Config): void => {
    rules = new RelayRules(next);
    if (JSON.stringify(next.dns) !== JSON.stringify(previous.dns)) {
      dns.close();
      dns = new ReverseDns(next.dns, log);
    }
    if (next.directory.users !== previous.directory.users) void directory.change(next.directory.users);
  };

  return {
    contract: policyContract,
    handlers: {
      'client-check': (request) => connect(request, dns, () => rules),
      'user-authenticate': (request, { bytes }) =>
        authenticate(request, bytes, { directory: directory.current, limit, log }),
      'sender-check'(request) {
        const largest = settings.current.limits['message-size'];
        return rates.count('messages', request, sender(request, { directory: directory.current, largest }));
      },
      'recipient-check'(request) {
        const { node } = settings.current;
        return rates.count('recipients', request, recipient(request, { rules, directory: directory.current, node }));
      },
      'message-check': (request, { bytes }) =>
        message(request, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'), {
          rules,
          directory: directory.current,
          config: settings.current,
          now: new Date(),
        }),
    },
    async start() {
      await directory.open(settings.current.directory.users);
      unsubscribe = settings.onChange(apply);
      rates.start();
    },
    async stop() {
      unsubscribe?.();
      rates.stop();
      dns.close();
      directory.close();
    },
  };
}
