import { credentials, directoryRead, fewFailures, notBlocked, passwordChecked } from './authentication/credentials.ts';
import { clientName } from './connect/client-name.ts';
import { clientScope } from './connect/client-scope.ts';
import { connectionLimit } from './connect/connection-limit.ts';
import type { Accepted, Phase, PolicyCheck, PolicyFacts, PolicyVerdict } from './facts.ts';
import { authenticationResults } from './message/authentication-results.ts';
import { author } from './message/author.ts';
import { authorReversePath } from './message/author-reverse-path.ts';
import { canonicalHeader } from './message/canonical-header.ts';
import { forgedResults } from './message/forged-results.ts';
import { genuineAuthor } from './message/genuine-author.ts';
import { hopCount } from './message/hop-count.ts';
import { dmarcPolicy } from './message/incoming/dmarc-policy.ts';
import { externalMark } from './message/incoming/external-mark.ts';
import { spfHardFail } from './message/incoming/spf-hard-fail.ts';
import { untrusted } from './message/incoming/untrusted.ts';
import { messageSize } from './message/message-size.ts';
import { messageTls } from './message/message-tls.ts';
import { origin } from './message/origin.ts';
import { submissionFields } from './message/submission-fields.ts';
import { traceField } from './message/trace-field.ts';
import { transportSecurity } from './message/transport-security.ts';
import { asNamed } from './recipient/as-named.ts';
import { canonicalRecipient } from './recipient/canonical-recipient.ts';
import { completeAddress } from './recipient/complete-address.ts';
import { dnsLists } from './recipient/dns-lists.ts';
import { greylisted } from './recipient/greylisted.ts';
import { knownMailbox } from './recipient/known-mailbox.ts';
import { listOwner } from './recipient/list-owner.ts';
import { mailToGroups } from './recipient/mail-to-groups.ts';
import { neverJunk } from './recipient/never-junk.ts';
import { noticesTo } from './recipient/notices-to.ts';
import { relayAllowed } from './recipient/relay-allowed.ts';
import { routedLocalPart, sourceRoute } from './recipient/source-routes.ts';
import { srsForward } from './recipient/srs-forward.ts';
import { srsReturn } from './recipient/srs-return.ts';
import { blockedUser } from './sender/blocked-user.ts';
import { canonicalSender } from './sender/canonical-sender.ts';
import { clientCertificate } from './sender/client-certificate.ts';
import { declaredSize } from './sender/declared-size.ts';
import { heloName } from './sender/helo-name.ts';
import { loginRequired } from './sender/login-required.ts';
import { ownAddress } from './sender/own-address.ts';
import { senderDomain } from './sender/sender-domain.ts';

/**
 * Every check of policy, in the order in which they run.
 *
 * A check is a pure function of the facts of its phase (`facts.ts`). It refuses, or goes on to the next check; what it found
 * becomes its part of the verdict's `why`. A phase accepts only when every check was asked and went on, with what they made
 * of `accepted`. So a check may stand anywhere in the list, and sees in `accepted` what those before it found.
 *
 * To add one: a file in the folder of its phase that exports a `PolicyCheck<'…'>`, and its name in a row of the table. A
 * fact that it needs and that is not in `PolicyFacts` yet is gathered before the checks run, by the file of its phase in
 * `gathering/`; whatever waits for DNS, a directory or a hash waits there. A check that adds to an accepted message goes
 * on with `{ ...accepted, prepend: [...accepted.prepend, field] }` or `{ ...accepted, junk: true }`.
 *
 * The order: first what makes the question meaningless, then what holds for every client, then what this client may do,
 * last what is added. The client sees the first refusal, so a check that reveals more about this server (which mailboxes
 * exist) comes after those that reveal less. Rates are not in the table, because only what every check accepted is counted
 * (`rates/rates.ts`).
 */
export const CHECKS: { readonly [P in Phase]: readonly PolicyCheck<P>[] } = {
  connect: [clientName, clientScope, connectionLimit],
  authenticate: [fewFailures, directoryRead, notBlocked, passwordChecked, credentials],
  sender: [
    ...[blockedUser, clientCertificate, loginRequired, heloName, declaredSize, ownAddress, senderDomain],
    canonicalSender,
  ],
  recipient: [
    ...[canonicalRecipient, completeAddress, sourceRoute, srsReturn, relayAllowed],
    ...[dnsLists, mailToGroups, knownMailbox, routedLocalPart, asNamed, noticesTo, listOwner, srsForward, neverJunk],
    greylisted,
  ],
  message: [
    ...[messageSize, hopCount, author, genuineAuthor, traceField, submissionFields, origin, canonicalHeader],
    ...[authorReversePath, spfHardFail, dmarcPolicy, untrusted, forgedResults, authenticationResults, externalMark],
    ...[transportSecurity, messageTls],
  ],
};

/** What a phase accepts with unless a check changes it; undefined: nothing is accepted unless a check says what. */
const START: Readonly<Accepted> = {
  connect: { name: null, nameFailed: false, scope: 'external' },
  authenticate: undefined,
  sender: {},
  recipient: undefined,
  message: { prepend: [], originating: false, junk: false },
};

/** Run the checks of a phase, one after the other, until one has the verdict. */
export function decide<P extends Phase>(phase: P, facts: PolicyFacts[P]): PolicyVerdict<P> {
  const checks: readonly PolicyCheck<P>[] = CHECKS[phase];
  let accepted: Accepted[P] = START[phase];
  const why: string[] = [];
  for (const check of checks) {
    const step = check(facts, accepted);
    why.push(...step.why);
    if (step.action !== 'go-on') return { ...step, why };
    accepted = step.accepted ?? accepted;
  }
  if (accepted === undefined) throw new Error(`no check of the phase ${phase} accepted or refused`);
  // The compiler does not see that a spread of this phase's type is of this phase's type.
  return { action: 'accept', ...accepted, why } as PolicyVerdict<P>;
}
