import type { Settings } from '#cluster/config/settings.ts';
import type { Hears } from '#services/topology.ts';
import type { Service } from '#shared/contract.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { authenticate, authenticateByToken, explainLogIn } from './authenticate.ts';
import { Failures } from './authentication/failures.ts';
import { FairQueue } from './authentication/fair-queue.ts';
import { KnownLogIns } from './authentication/known-log-ins.ts';
import { Locks } from './authentication/locks.ts';
import type { Tokens } from './authentication/tokens.ts';
import { type PolicyContract, policyContract } from './contract.ts';
import { Sources, type Stores } from './gathering/sources.ts';
import type { GreylistBus } from './greylist/shared-greylist.ts';
import { createPhases } from './phases.ts';
import { Rates } from './rates/rates.ts';
import { type CountsBus, SharedCounts } from './rates/shared-counts.ts';

export type PolicyDeps = {
  settings: Settings;
  log: Logger;
  /** The policy services of the other nodes; without it there are none. */
  peers?: (CountsBus & GreylistBus) | undefined;
  /** The credential-stores, which have the cluster's directory; without them there is none. */
  stores?: Stores | undefined;
  /** The listeners of all nodes, this one too. */
  onListeners?: Hears<'policy', 'listener'> | undefined;
};

/** Password hashes computed concurrently (each takes 19 MiB and a thread of the pool), and log-ins that wait for one. */
const PASSWORDS_CHECKED = 2;
const PASSWORDS_WAITING = 1000;

/**
 * The policy service. `start` reads the users file and fails with `unreadable` or `invalid` when it cannot.
 *
 * `phases.ts` has how a request becomes a verdict. `verdict-explain` does the same, and looks at what would be counted.
 */
export function createPolicyService(deps: PolicyDeps): Service<PolicyContract> {
  const { settings, log, peers } = deps;
  const queue = new FairQueue(PASSWORDS_CHECKED, PASSWORDS_WAITING);
  const sources = new Sources(deps);
  const counts = new SharedCounts({ settings, peers });
  const rates = new Rates({ settings, counts });
  const phases = createPhases({ sources, rates });
  const failures = new Failures({ settings, counts });
  const loadTokens = tokensLoader(settings, log);
  const locks = new Locks({ settings, counts, log });
  const knownLogIns = new KnownLogIns({ settings, counts, log });
  const strangers = new LimitedLog();
  const logIns = () => ({ ask: sources.now().ask, failures, queue, log, strangers });

  return {
    contract: policyContract,
    handlers: {
      'client-check': phases.connect,
      'user-authenticate': (request, { bytes }) => authenticate(request, bytes, logIns()),
      'token-authenticate': async (request, { bytes }) =>
        authenticateByToken(request, bytes, { ...logIns(), tokens: await loadTokens() }),
      'sender-check': (request) => phases.sender(request, 'count'),
      'recipient-check': (request) => phases.recipient(request, 'count'),
      'verdict-explain': async ({ connect, authenticate: user, sender, recipient, message }) => ({
        connect: connect && (await phases.connect(connect)),
        authenticate: user && (await explainLogIn(user, logIns())),
        sender: sender && (await phases.sender(sender, 'look')),
        recipient: recipient && (await phases.recipient(recipient, 'look')),
        message: message && (await phases.explainMessage(message, Buffer.from(message.header, 'latin1'))),
      }),
      'message-check': (request, { bytes }) => phases.message(request, bytes),
      'status-show': async () => ({ ldap: await sources.directory.checkLdap() }),
      'lock-list': (selection) => locks.list(selection),
      'lock-lift': (selection) => locks.lift(selection),
    },
    async start() {
      await sources.open();
      await knownLogIns.start();
      counts.start();
    },
    async stop() {
      counts.stop();
      strangers.close();
      await sources.close();
      await knownLogIns.stop();
    },
  };
}

/** Loaded with the first token: few let anybody log in with one. */
function tokensLoader(settings: Settings, log: Logger): () => Promise<Tokens> {
  let tokens: Promise<Tokens> | undefined;
  return () => {
    tokens ??= import('./authentication/tokens.ts').then(({ Tokens }) => new Tokens(settings, log));
    return tokens;
  };
}
