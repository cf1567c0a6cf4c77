import { credentials, passwordChecked, usersFileRead } from './authentication/credentials.ts';
import { clientName } from './connect/client-name.ts';
import { clientScope } from './connect/client-scope.ts';
import type { Accepted, Phase, PolicyCheck, PolicyFacts, PolicyVerdict } from './facts.ts';
import { author } from './message/author.ts';
import { hopCount } from './message/hop-count.ts';
import { messageSize } from './message/message-size.ts';
import { origin } from './message/origin.ts';
import { submissionFields } from './message/submission-fields.ts';
import { traceField } from './message/trace-field.ts';
import { asNamed } from './recipient/as-named.ts';
import { completeAddress } from './recipient/complete-address.ts';
import { knownMailbox } from './recipient/known-mailbox.ts';
import { routedLocalPart, sourceRoute } from './recipient/routes.ts';
import { relayAllowed } from './relay/relay-allowed.ts';
import { declaredSize } from './sender/declared-size.ts';
import { loginRequired } from './sender/login-required.ts';
import { ownAddress } from './sender/own-address.ts';

/**
 * Every check of policy, in the order in which it is asked.
 *
 * A check is a pure function over the facts of its phase (`facts.ts`). It refuses, accepts for good, or goes on to the
 * next check; what it found is its part of the verdict's `why`. Where all go on, the phase accepts.
 *
 * To add one: a file in the folder of its phase (relay rules in `relay/`) that exports a `PolicyCheck<'…'>`, and a row here.
 * What it needs to know and is not in `PolicyFacts` yet is gathered before the checks run (`service.ts`, and the functions of
 * `facts.ts`); what must wait for DNS or a hash waits there. A check that adds to an accepted message goes on with
 * `{ ...accepted, prepend: [...accepted.prepend, field] }`, or with `junk: true`.
 *
 * The order within a phase: first what makes the question meaningless, then what costs nothing and is true of everybody,
 * then what the client may do, last what is added. The first refusal is the one that the client sees, so a check that
 * tells more about this server (which mailboxes exist) comes after those that tell less. Rates are not in the table:
 * only what all checks accepted is counted (`rates/rates.ts`).
 */
export const CHECKS: { readonly [P in Phase]: readonly PolicyCheck<P>[] } = {
  connect: [clientName, clientScope],
  authenticate: [usersFileRead, passwordChecked, credentials],
  sender: [loginRequired, declaredSize, ownAddress],
  recipient: [completeAddress, sourceRoute, relayAllowed, knownMailbox, routedLocalPart, asNamed],
  message: [messageSize, hopCount, author, traceField, submissionFields, origin],
};

/** What a phase accepts with where no check says otherwise. Closed phases have nothing. */
const START: Readonly<Accepted> = {
  connect: { name: null, nameFailed: false, scope: 'external' },
  authenticate: undefined,
  sender: {},
  recipient: undefined,
  message: { prepend: [], originating: false, junk: false },
};

/** Ask the checks of a phase, one after the other, until one has the verdict. */
export function decide<P extends Phase>(phase: P, facts: PolicyFacts[P]): PolicyVerdict<P> {
  const checks: readonly PolicyCheck<P>[] = CHECKS[phase];
  let accepted: Accepted[P] = START[phase];
  const why: string[] = [];
  for (const check of checks) {
    const step = check(facts, accepted);
    why.push(...step.why);
    switch (step.action) {
      case 'reject':
      case 'defer':
        return { ...step, why };
      case 'accept':
        return acceptance(step.accepted, why);
      case 'go-on':
        accepted = step.accepted ?? accepted;
    }
  }
  if (accepted === undefined) throw new Error(`no check of the phase ${phase} accepted or refused`);
  return acceptance(accepted, why);
}

function acceptance<P extends Phase>(accepted: NonNullable<Accepted[P]>, why: string[]): PolicyVerdict<P> {
  // The compiler does not see that a spread of this phase's type is of this phase's type.
  return { action: 'accept', ...accepted, why } as PolicyVerdict<P>;
}
