import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeftMail, MailFacts, QueuedMail, RefusedAtDoor } from '#services/console/reports/mail/why/facts.ts';
import { explained, unknownExplained } from '#services/console/reports/mail/why/sentence.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { formatTime } from '#shared/units.ts';

/** What comes of facts: the cause, and the sentence, in which `T` is the time of every event. */

type Entry = QueuedMail['entry'];
type Recipient = Entry['recipients'][number];

const NOW = 1_700_000_000_000;
const AT = NOW - 60_000;
const NEXT = NOW + 240_000;
const HOST = 'mx.far.test[192.0.2.1]:25';

function entry(more: Partial<Entry>, ...recipients: Recipient[]): Entry {
  const client = { address: '192.0.2.9', name: null, helo: 'client.test' };
  return {
    ...{ queueId: '0000000000000001', node: 'edge-1', state: 'deferred', arrived: AT, size: 100, trace: 't' },
    ...{ reversePath: 'a@example.com', origin: { session: 's', listener: 'mx', kind: 'relay', client }, recipients },
    ...more,
  };
}

function to(status: Recipient['status'], more: Partial<Recipient> = {}): Recipient {
  return { recipient: { address: 'bob@far.test' }, nextHop: 'mx:far.test', status, ...more };
}

const WAITING = { state: 'waiting' } as const;
const deferred = (said: Reply, host?: string): Recipient['status'] => ({
  ...{ state: 'deferred', attempts: 2, nextAttempt: NEXT },
  outcome: { at: AT, reply: said, ...(host !== undefined && { host }) },
});
const ended = (state: 'delivered' | 'failed' | 'expired', said: Reply, host?: string): Recipient['status'] => ({
  state,
  outcome: { at: AT, reply: said, ...(host !== undefined && { host }) },
});
const queued = (one: Entry, facts: QueuedMail['queued'] = {}): QueuedMail => ({
  kind: 'queued',
  entry: one,
  queued: facts,
});
const left = (one: Entry, copy = false): LeftMail => ({ kind: 'left', entry: one, copy });
const refused = (more: Partial<RefusedAtDoor['refusal']>): RefusedAtDoor => ({
  kind: 'refused',
  node: 'edge-1',
  refusal: {
    ...{ at: AT, first: AT, count: 1, listener: 'mx', client: { address: '192.0.2.1', helo: 'mail.far.test' } },
    ...{ step: 'RCPT', from: 'a@far.test', to: ['bob@example.com'], recipients: 1 },
    ...more,
  },
});

const WAITS = 'The mail for <bob@far.test> waits in the queue of edge-1';
const NEXTLY = 'the next attempt is in 4m, at N';
const HELD = { state: 'hold' } as const;
const BOUNCED = reply(550, '5.1.1', 'no such user');
const NOTICE = { notices: [{ queueId: 'N1', kind: 'failed' as const, to: 'a@example.com', at: AT }] };

const DIRECTIVE = { kind: 'redirect', about: 'domain', name: 'test', at: AT, until: NEXT, keep: NEXT } as const;
const REDIRECTED = {
  redirected: { ...DIRECTIVE, by: 'root on edge-1', reason: 'their MX is down', via: 'smtp://c.test' },
};
const RULED = { recipient: { address: 'bob@far.test', original: 'b@example.com', redirectedBy: 'moved' } };
const RULED_AWAY = { recipient: { address: 'bob@far.test', routeOf: 'other.test', redirectedBy: 'moved' } };

const TABLE: [what: string, facts: MailFacts, cause: string, sentence: string][] = [
  [
    'deferred by a host',
    queued(entry({}, to(deferred(reply(451, '4.7.1', 'Greylisted'), HOST)))),
    'deferred-by-host',
    `${WAITS}: ${HOST} deferred it (attempt 2, at T) with "451 4.7.1 Greylisted"; ${NEXTLY}.`,
  ],
  [
    'a host that speaks of its own connections',
    queued(entry({}, to(deferred(reply(451, '4.4.1', 'my back end is away'), HOST)))),
    'deferred-by-host',
    `${WAITS}: ${HOST} deferred it (attempt 2, at T) with "451 4.4.1 my back end is away"; ${NEXTLY}.`,
  ],
  [
    'deferred by a host to which an operator rerouted it',
    queued(entry({ via: 'smtp://b.test' }, to(deferred(reply(451, '4.7.1', 'Greylisted'), HOST), REDIRECTED))),
    'deferred-by-host',
    `${WAITS}: ${HOST} deferred it (attempt 2, at T) with "451 4.7.1 Greylisted"; ${NEXTLY}; an operator rerouted it to smtp://b.test.`,
  ],
  [
    'no connection where a directive sends it',
    queued(entry({}, to(deferred(reply(451, '4.4.1', `cannot connect to ${HOST}: refused`), HOST), REDIRECTED))),
    'unreachable',
    `${WAITS}: its destination cannot be reached (attempt 2, at T): "cannot connect to ${HOST}: refused"; ${NEXTLY}; the mail to test is redirected to smtp://c.test by root on edge-1 until N: their MX is down.`,
  ],
  [
    'a first attempt by the route to which a rule sends it',
    queued(entry({ state: 'active' }, to(WAITING, RULED_AWAY))),
    'first-attempt',
    `${WAITS}: its first attempt, at mx:far.test, is due; the rule "moved" redirected it to the route of other.test.`,
  ],
  [
    'delivered where a rule and a directive sent it',
    left(entry({}, to(ended('delivered', reply(250, '2.0.0', 'ok'), HOST), { ...RULED, ...REDIRECTED }))),
    'delivered',
    `The mail for <bob@far.test> was delivered by edge-1 at T to ${HOST}, which said "250 2.0.0 ok"; the rule "moved" redirected it from <b@example.com> to this address; the mail to test was redirected to smtp://c.test by root on edge-1 until N: their MX is down.`,
  ],
  [
    'no DNS',
    queued(entry({}, to(deferred(reply(451, '4.4.3', 'DNS gave no answer for far.test: SERVFAIL'))))),
    'dns-failing',
    `${WAITS}: DNS does not answer for its destination: "DNS gave no answer for far.test: SERVFAIL"; ${NEXTLY}.`,
  ],
  [
    'no connection',
    queued(entry({}, to(deferred(reply(451, '4.4.1', `cannot connect to ${HOST}: refused`), HOST)))),
    'unreachable',
    `${WAITS}: its destination cannot be reached (attempt 2, at T): "cannot connect to ${HOST}: refused"; ${NEXTLY}.`,
  ],
  [
    'a next hop that backs off since the attempt',
    queued(
      entry(
        {},
        {
          ...to(deferred(reply(451, '4.4.1', `cannot connect to ${HOST}: refused`), HOST)),
          backoff: { until: NEXT, at: AT - 1, reply: reply(451, '4.4.1', `cannot connect to ${HOST}: refused`) },
        },
      ),
    ),
    'unreachable',
    `${WAITS}: its destination cannot be reached (attempt 2, at T): "cannot connect to ${HOST}: refused"; its next hop is tried again in 4m, at N.`,
  ],
  [
    'a next hop that others found out of reach since',
    queued(
      entry(
        {},
        {
          ...to(deferred(reply(451, '4.7.1', 'Greylisted'), HOST)),
          backoff: { until: NEXT, at: AT + 1000, reply: reply(451, '4.4.1', `cannot connect to ${HOST}: refused`) },
        },
      ),
    ),
    'deferred-by-host',
    `${WAITS}: ${HOST} deferred it (attempt 2, at T) with "451 4.7.1 Greylisted"; its next hop was tried last at L, which gave "451 4.4.1 cannot connect to ${HOST}: refused", and is tried again in 4m, at N.`,
  ],
  [
    'a next hop that backs off for less long than the message waits',
    queued(
      entry(
        {},
        {
          ...to(deferred(reply(451, '4.7.1', 'Greylisted'), HOST)),
          backoff: { until: NEXT - 1, at: AT + 1000, reply: reply(451, '4.4.1', 'refused') },
        },
      ),
    ),
    'deferred-by-host',
    `${WAITS}: ${HOST} deferred it (attempt 2, at T) with "451 4.7.1 Greylisted"; ${NEXTLY}.`,
  ],
  [
    'a lost connection',
    queued(entry({}, to(deferred(reply(451, '4.4.2', 'closed'), HOST)))),
    'connection-lost',
    `${WAITS}: the connection to ${HOST} broke off (attempt 2, at T): "closed"; ${NEXTLY}.`,
  ],
  [
    'no TLS',
    queued(entry({}, to(deferred(reply(454, '4.7.4', 'no STARTTLS'), HOST)))),
    'tls-missing',
    `${WAITS}: ${HOST} does not offer the TLS that is wanted (attempt 2, at T): "no STARTTLS"; ${NEXTLY}.`,
  ],
  [
    'no log-in',
    queued(entry({}, to(deferred(reply(454, '4.7.0', 'no AUTH'), HOST)))),
    'login-failed',
    `${WAITS}: the log-in of the route failed at ${HOST}: "no AUTH"; ${NEXTLY}.`,
  ],
  [
    'no key',
    queued(entry({}, to(deferred(reply(451, '4.7.5', 'not signed for example.com: no key'))))),
    'key-missing',
    `${WAITS}: it cannot be signed, and its domain sends nothing without a signature: "not signed for example.com: no key"; ${NEXTLY}.`,
  ],
  [
    'no signer',
    queued(entry({}, to(deferred(reply(451, '4.7.5', 'the signer does not answer'))))),
    'signer-silent',
    `${WAITS}: it must be signed, and the signer does not answer; ${NEXTLY}.`,
  ],
  [
    'no route',
    queued(entry({}, to(deferred(reply(451, '4.3.5', 'no usable route for this domain')), { nextHop: '' }))),
    'no-route',
    `${WAITS}: no usable route leads to its domain: "no usable route for this domain"; ${NEXTLY}.`,
  ],
  [
    'no address',
    queued(entry({}, to(deferred(reply(451, '4.4.4', 'host relay.test of the route has no address'))))),
    'no-address',
    `${WAITS}: there is no address to send it to, or from: "host relay.test of the route has no address"; ${NEXTLY}.`,
  ],
  [
    'a log-in that the host refuses',
    queued(entry({}, to(deferred(reply(535, '5.7.8', 'wrong password'), HOST)))),
    'login-failed',
    `${WAITS}: the log-in of the route failed at ${HOST}: "wrong password"; ${NEXTLY}.`,
  ],
  [
    'a full disk',
    queued(entry({}, to(deferred(reply(452, '4.3.1', 'no space left'))))),
    'disk-full',
    `${WAITS}: the disk of this node has no room: "no space left"; ${NEXTLY}.`,
  ],
  [
    'other trouble of the node',
    queued(entry({}, to(deferred(reply(451, '4.3.0', 'cannot write'))))),
    'local-trouble',
    `${WAITS}: this node could not deliver it: "cannot write"; ${NEXTLY}.`,
  ],
  [
    'a store that fails',
    queued(entry({ state: 'active' }, to(WAITING)), { storeFailure: 'EIO' }),
    'store-failing',
    `${WAITS}: the store of this node takes no writes, and no attempt begins until it does: "EIO".`,
  ],
  [
    'a node that may not deliver',
    queued(entry({ state: 'active' }, to(WAITING)), { obstacle: 'this node has lost touch with the cluster' }),
    'blocked',
    `${WAITS}: this node must not deliver it now, because another node may do that: this node has lost touch with the cluster.`,
  ],
  [
    'a limit',
    queued(entry({ state: 'active' }, to(WAITING, { limit: 'far.test: 1/h, of which this node has 1/h' }))),
    'rate-limit',
    `${WAITS}: its turn has not come under rates.destinations: far.test: 1/h, of which this node has 1/h.`,
  ],
  [
    'an attempt',
    queued(entry({ state: 'active' }, to(WAITING)), { attempting: true }),
    'under-way',
    `${WAITS}: an attempt at mx:far.test is under way.`,
  ],
  [
    'a busy next hop',
    queued(entry({ state: 'active' }, to(WAITING)), { congested: 'mx:far.test' }),
    'next-hop-busy',
    `${WAITS}: as many attempts as may be are under way to mx:far.test, and it follows them.`,
  ],
  [
    'not yet tried',
    queued(entry({ state: 'active' }, to(WAITING))),
    'first-attempt',
    `${WAITS}: its first attempt, at mx:far.test, is due.`,
  ],
  [
    'held by an operator',
    queued(entry({ ...HELD, hold: { by: 'operator', at: AT } }, to(WAITING))),
    'held-by-operator',
    `${WAITS}: an operator holds it since T.`,
  ],
  [
    'held by a filter',
    queued(entry({ ...HELD, hold: { by: 'filter', at: AT }, filters: { odd: 'quarantine: odd' } }, to(WAITING))),
    'held-by-filter',
    `${WAITS}: a mail filter held it since T (odd: quarantine: odd).`,
  ],
  [
    'held by a rule',
    queued(entry({ ...HELD, hold: { by: 'rule', rule: 'strange attachments', at: AT } }, to(WAITING))),
    'held-by-rule',
    `${WAITS}: the rule "strange attachments" held it since T.`,
  ],
  [
    'suspended',
    queued(
      entry(
        {},
        to(WAITING, {
          suspended: {
            ...{ kind: 'suspend', about: 'domain', name: 'far.test', by: 'root on edge-2', reason: 'moving' },
            ...{ at: AT, until: NEXT, keep: NEXT },
          },
        }),
      ),
    ),
    'suspended',
    `${WAITS}: the mail to far.test is suspended by root on edge-2 until N: moving.`,
  ],
  [
    'held for want of TLS',
    queued(entry({ ...HELD, hold: { by: 'tls', at: AT } }, to(deferred(reply(550, '5.7.10', 'no TLS'), HOST)))),
    'held-for-tls',
    `${WAITS}: it is held since T, because no host can do what it asks of TLS: "no TLS".`,
  ],
  [
    'a dead letter',
    queued(
      entry(
        { ...HELD, reversePath: '', hold: { by: 'dead-letter', at: AT } },
        to(deferred(BOUNCED, HOST), { dead: true }),
      ),
    ),
    'dead-letter',
    `${WAITS}: delivery failed, and it is held since T, because it has the null reverse-path and cannot be returned: "no such user".`,
  ],
  [
    'a copy for an archive',
    queued(
      entry({ ...HELD, hold: { by: 'journal', rule: 'all', at: AT } }, to(deferred(BOUNCED, HOST), { dead: true })),
    ),
    'held-for-archive',
    `${WAITS}: the archive of rule "all" does not take its copy, and it is held since T: "no such user".`,
  ],
  ['held by the version before', queued(entry(HELD, to(WAITING))), 'held', `${WAITS}: it is held.`],
  [
    'a dead letter of the version before',
    queued(entry(HELD, to(deferred(BOUNCED, HOST), { dead: true }))),
    'dead-letter',
    `${WAITS}: delivery failed, and it is held, because it has the null reverse-path and cannot be returned: "no such user".`,
  ],
  [
    'taken over, and waiting',
    queued(entry({ takenOver: { from: 'edge-2', at: AT } }, to(deferred(reply(450, '4.2.0', 'later'), HOST)))),
    'deferred-by-host',
    `${WAITS}, which took it over from edge-2 at T: ${HOST} deferred it (attempt 2, at T) with "450 4.2.0 later"; ${NEXTLY}.`,
  ],
  [
    'one of several',
    queued(
      entry(
        {},
        to(ended('delivered', reply(250, '2.0.0', 'ok'), HOST), { recipient: { address: 'carol@far.test' } }),
        to(deferred(reply(450, '4.2.0', 'later'), HOST)),
      ),
    ),
    'deferred-by-host',
    `The mail for <bob@far.test> (and 1 more: 1 delivered) waits in the queue of edge-1: ${HOST} deferred it (attempt 2, at T) with "450 4.2.0 later"; ${NEXTLY}.`,
  ],
  [
    'delivered',
    left(entry({}, to(ended('delivered', reply(250, '2.0.0', 'ok'), HOST)))),
    'delivered',
    `The mail for <bob@far.test> was delivered by edge-1 at T to ${HOST}, which said "250 2.0.0 ok".`,
  ],
  [
    'delivered by a node that took it over and is gone',
    left(
      entry({ takenOver: { from: 'edge-2', at: AT } }, to(ended('delivered', reply(250, '2.0.0', 'ok'), HOST))),
      true,
    ),
    'delivered',
    `The mail for <bob@far.test> was delivered by edge-1 at T to ${HOST}, which said "250 2.0.0 ok"; edge-1 had taken it over from edge-2 at T; this is from the node that had its second copy.`,
  ],
  [
    'returned',
    left(entry(NOTICE, to(ended('failed', BOUNCED, HOST)))),
    'returned',
    `The mail for <bob@far.test> was refused for good at T by ${HOST}, with "550 5.1.1 no such user"; a notice went to <a@example.com> (N1).`,
  ],
  [
    'failed, and nobody wanted to know',
    left(entry({}, to(ended('failed', BOUNCED, HOST)))),
    'failed',
    `The mail for <bob@far.test> was refused for good at T by ${HOST}, with "550 5.1.1 no such user"; no notice was sent to its sender.`,
  ],
  [
    'failed, and nobody can be told',
    left(entry({ reversePath: '' }, to(ended('failed', BOUNCED, HOST)))),
    'failed',
    `The mail for <bob@far.test> was refused for good at T by ${HOST}, with "550 5.1.1 no such user"; nobody was told, because it has the null reverse-path.`,
  ],
  [
    'expired',
    left(entry(NOTICE, to(ended('expired', reply(451, '4.4.1', 'cannot connect'), HOST)))),
    'expired',
    `The mail for <bob@far.test> was given up by edge-1 at T, since its time in the queue was over; the last word was "451 4.4.1 cannot connect", of ${HOST}; a notice went to <a@example.com> (N1).`,
  ],
  [
    'removed',
    left(entry({}, to(ended('failed', reply(550, '5.3.0', 'an operator took the message out of the queue'))))),
    'removed',
    'The mail for <bob@far.test> was taken out of the queue of edge-1 by an operator at T; no notice was sent to its sender.',
  ],
  [
    'a dead owner',
    copied({ takeOver: NEXT }),
    'owner-silent',
    'The mail is in the queue of edge-2, which does not answer; edge-3 has its second copy, and edge-3 takes it over in 4m, at N, if it does not return.',
  ],
  [
    'a dead owner, and no word of its lease',
    copied({}),
    'owner-silent',
    'The mail is in the queue of edge-2, which does not answer; edge-3 has its second copy, and it is not taken over while NATS does not say that its lease ran out.',
  ],
  [
    'a take-over',
    copied({ claimed: true }),
    'taking-over',
    'The mail is being taken over: edge-2, whose mail it is, does not answer, and edge-3 moves it into its queue now.',
  ],
  [
    'a copy that is void',
    copied({ void: true }),
    'copy-not-needed',
    'edge-3 has a copy of the mail that it does not deliver, because edge-2 has said that it needs it no longer, and does not answer now.',
  ],
  [
    'a part of a copy',
    copied({ complete: false }),
    'copy-incomplete',
    'edge-3 has a part of the mail: edge-2, whose mail it is, does not answer, and had not answered its client that it accepted it.',
  ],
  [
    'a damaged message',
    { kind: 'damaged', node: 'edge-1', queueId: 'Q' },
    'damaged',
    'The mail is damaged on the disk of edge-1, which has set it aside and does not deliver it; its sender was not told.',
  ],
  [
    'an unknown user',
    refused({ reply: reply(550, '5.1.1', 'No such user here') }),
    'refused',
    'edge-1 refused the mail from <a@far.test> for <bob@example.com> of the client 192.0.2.1 (mail.far.test) at RCPT, at T, with "550 5.1.1 No such user here".',
  ],
  [
    'greylisted, again and again',
    refused({ reply: reply(451, '4.7.1', 'Greylisted'), why: ['unknown network'], count: 3 }),
    'refused-for-now',
    'edge-1 refused the mail from <a@far.test> for <bob@example.com> of the client 192.0.2.1 (mail.far.test) for now at RCPT, 3 times, from T to T, with "451 4.7.1 Greylisted": unknown network.',
  ],
  [
    'a wrong password',
    refused({ step: 'AUTH', user: 'alice', to: [], reply: reply(535, '5.7.8', 'invalid') }),
    'refused',
    'edge-1 refused the log-in as alice of the client 192.0.2.1 (mail.far.test) at AUTH, at T, with "535 5.7.8 invalid".',
  ],
  [
    'a connection',
    refused({ step: 'connect', client: { address: '192.0.2.1' }, to: [], reply: reply(421, '4.7.0', 'Too many') }),
    'refused-for-now',
    'edge-1 refused the connection of the client 192.0.2.1 for now before its greeting, at T, with "421 4.7.0 Too many".',
  ],
  [
    'no TLS handshake',
    refused({ step: 'connect', client: { address: '192.0.2.1' }, to: [], error: 'wrong version' }),
    'connection-failed',
    'A connection of the client 192.0.2.1 to listener mx of edge-1 failed, at T: wrong version.',
  ],
  [
    'a client that left',
    refused({ step: 'message', error: 'client left' }),
    'client-left',
    'The client 192.0.2.1 (mail.far.test) left edge-1 in the middle of the mail from <a@far.test> for <bob@example.com>, at T.',
  ],
  [
    'thrown away by a filter',
    refused({ step: 'message', discarded: true, reply: reply(250, '2.0.0', 'Accepted'), filters: { odd: 'discard' } }),
    'discarded',
    'A mail filter of edge-1 threw away the mail from <a@far.test> for <bob@example.com> from the client 192.0.2.1 (mail.far.test), which was told that it was accepted, at T (odd: discard).',
  ],
];

function copied(more: Partial<Extract<MailFacts, { kind: 'copied' }>['copy']>): MailFacts {
  const copy = { owner: 'edge-2', complete: true, void: false, claimed: false, ...more };
  return { kind: 'copied', queueId: 'Q', holder: 'edge-3', copy, ownerAnswers: false };
}

const timesOf = (text: string): string =>
  text
    .replaceAll(formatTime(AT), 'T')
    .replaceAll(formatTime(NEXT), 'N')
    .replaceAll(formatTime(AT + 1000), 'L');

for (const [what, facts, cause, sentence] of TABLE) {
  test(`why: ${what}`, () => {
    const told = explained(facts, NOW);
    assert.deepEqual([told.cause, timesOf(told.sentence)], [cause, sentence]);
  });
}

test('why: the recipient that was asked about comes first, also as it was named', () => {
  const later = to(deferred(reply(450, '4.2.0', 'later'), HOST));
  const done = to(ended('delivered', reply(250, '2.0.0', 'ok'), HOST), {
    recipient: { address: 'carol@far.test', original: 'Boss@Example.com' },
  });
  const facts = queued(entry({}, later, done));
  assert.equal(explained(facts, NOW).cause, 'deferred-by-host');
  const told = explained(facts, NOW, 'boss@example.com');
  assert.deepEqual([told.cause, told.recipient], ['delivered', 'carol@far.test']);
});

test('why: fields for programs', () => {
  const facts = queued(entry({}, to(deferred(reply(450, '4.2.0', 'later'), HOST))));
  const { sentence: _, ...fields } = explained(facts, NOW);
  assert.deepEqual(fields, {
    ...{ cause: 'deferred-by-host', node: 'edge-1', queueId: '0000000000000001', recipient: 'bob@far.test' },
    ...{ until: NEXT, host: HOST, reply: '450 4.2.0 later' },
    help: `wait, since it is tried again by itself, or see that ${HOST} takes it; then "sealpost queue retry 0000000000000001" tries it immediately`,
  });
});

test('why: of what nobody knows it says who was asked', () => {
  const asked = {
    what: 'bob@far.test',
    answered: ['edge-1', 'edge-3'],
    keep: 604_800_000,
    refusalsSince: { a: 0, b: AT },
  };
  const all = unknownExplained({ ...asked, silent: [] });
  assert.equal(all.cause, 'unknown');
  assert.equal(
    timesOf(all.sentence),
    'Nothing is known of bob@far.test: neither queue, receipts nor refusals of edge-1 and edge-3 have it; receipts are kept for 7d, refusals are known since T.',
  );
  assert.match(
    unknownExplained({ ...asked, silent: [{ node: 'edge-2', error: 'timeout' }] }).sentence,
    /of edge-1 and edge-3 have it; edge-2 did not answer, and may know of it; receipts/,
  );
  assert.match(unknownExplained({ ...asked, answered: [], silent: [] }).sentence, /: no node answers; receipts/);
});
