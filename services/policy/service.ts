import type { Settings } from '#cluster/config/settings.ts';
import type { Service } from '#shared/contract.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';

import { printable } from '#shared/text.ts';

import { authenticate, authenticateByToken } from './authenticate.ts';
import { Failures } from './authentication/failures.ts';
import { FairQueue } from './authentication/fair-queue.ts';
import { Locks } from './authentication/locks.ts';
import { Tokens } from './authentication/tokens.ts';

import { decide } from './checks.ts';
import { type PolicyContract, policyContract } from './contract.ts';
import { connectFacts } from './gathering/connect.ts';
import { messageFacts } from './gathering/message.ts';
import { recipientFacts } from './gathering/recipient.ts';
import { senderFacts } from './gathering/sender.ts';
import { Sources } from './gathering/sources.ts';
import { whenKnown } from './gathering/when-known.ts';
import { type GreylistBus, SharedGreylist } from './greylist/shared-greylist.ts';
import { Rates } from './rates/rates.ts';
import { type CountsBus, SharedCounts } from './rates/shared-counts.ts';
import { noteAttempt } from './recipient/greylisted.ts';

export type PolicyDeps = {
  settings: Settings;
  log: Logger;
  /** The policy services of the other nodes; without it there are none. */
  peers?: (CountsBus & GreylistBus) | undefined;
};

/** Password hashes computed concurrently (each takes 19 MiB and a thread of the pool), and log-ins that wait for one. */
const PASSWORDS_CHECKED = 2;
const PASSWORDS_WAITING = 1000;

/**
 * The policy service. `start` reads the users file and fails with `unreadable` or `invalid` when it cannot.
 *
 * A request becomes a verdict in three steps: its facts are gathered (`gathering/`), the checks of its phase decide
 * (`checks.ts`), and what they accept is counted for the rates. What became of a recipient is noted for the greylist.
 */
export function createPolicyService({ settings, log, peers }: PolicyDeps): Service<PolicyContract> {
  const queue = new FairQueue(PASSWORDS_CHECKED, PASSWORDS_WAITING);
  const greylist = new SharedGreylist({ settings, log, peers });
  const sources = new Sources({ settings, log, greylist });
  const counts = new SharedCounts({ settings, peers });
  const rates = new Rates({ settings, counts });
  const failures = new Failures({ settings, counts });
  const tokens = new Tokens(settings, log);
  const locks = new Locks({ settings, counts });
  const strangers = new LimitedLog();
  const logIns = () => ({ ask: sources.now().ask, failures, queue, log, strangers });

  return {
    contract: policyContract,
    handlers: {
      'client-check': (request) => whenKnown(connectFacts(request, sources), (facts) => decide('connect', facts)),
      'user-authenticate': (request, { bytes }) => authenticate(request, bytes, logIns()),
      'token-authenticate': (request, { bytes }) => authenticateByToken(request, bytes, { ...logIns(), tokens }),
      'sender-check': (request) =>
        whenKnown(senderFacts(request, sources.now()), (facts) =>
          rates.count('messages', request, decide('sender', facts)),
        ),
      'recipient-check': (request) =>
        whenKnown(recipientFacts(request, sources.now()), (facts) =>
          noteAttempt(greylist, facts, rates.count('recipients', request, decide('recipient', facts))),
        ),
      'message-check': (request, { bytes }) =>
        whenKnown(messageFacts(request, bytes, sources.now()), (facts) => decide('message', facts)),
      'lock-list': (selection) => locks.list(selection),
      'lock-lift': (selection) => {
        const lifted = locks.lift(selection);
        const { user, network } = selection;
        const fields = { user: user && printable(user), network: network && printable(network) };
        log.info({ ...fields, locks: lifted.locks.length + lifted.more }, 'Locks of log-ins lifted by an operator');
        return lifted;
      },
    },
    async start() {
      await sources.open();
      await greylist.start();
      counts.start();
    },
    async stop() {
      sources.close();
      counts.stop();
      strangers.close();
      await greylist.stop();
    },
  };
}
