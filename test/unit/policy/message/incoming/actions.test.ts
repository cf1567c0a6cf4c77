import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { atOnce, config, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** What is done with mail from outside, by what was found out about it (DOMINO I3, I6, I7, I8). */

type Found = {
  spf?: Partial<Authenticity['spf']>;
  dkim?: [result: Authenticity['dkim'][number]['result'], domain?: string, partial?: true][];
  arc?: Partial<Authenticity['arc']>;
  dmarc?: Partial<Authenticity['dmarc']>;
};

type Policy = 'none' | 'quarantine' | 'reject';

function found({ spf, dkim = [], arc, dmarc }: Found): Authenticity {
  return {
    spf: { result: 'none', scope: 'mfrom', domain: 'sender.example', ...spf },
    dkim: dkim.map(([result, domain = 'sender.example', partial]) => ({
      ...{ result, domain, aligned: false },
      ...(partial && { partial }),
    })),
    arc: { result: 'none', sets: 0, ...arc },
    dmarc: {
      result: 'none',
      from: 'sender.example',
      dkimAligned: false,
      spfAligned: false,
      disposition: 'none',
      ...dmarc,
    },
  };
}

/** DMARC fails, and the author's domain asks for this. */
const failed = (policy: Policy, tested?: Policy): Found['dmarc'] => ({
  ...{ result: 'fail', policy },
  record: { domain: 'sender.example', p: tested ?? policy, adkim: 'r', aspf: 'r', testing: tested !== undefined },
});

function judge(
  given: Found,
  authenticity: Record<string, unknown> = {},
  more: { aar?: string; who?: SessionFacts } = {},
) {
  const set = config({ domains: [{ name: 'example.com', local: true }], authenticity });
  const session = more.who ?? facts();
  const deps = { ...rulesOf(set), ask: () => null, config: set, now: new Date(0) };
  const request = {
    ...{ facts: session, queueId: '01ABCDEFGHJKMNPQ', reversePath: 'a@sender.example' },
    ...{ recipients: ['bob@example.com'], smtpUtf8: false, size: 100 },
  };
  const aar = more.aar === undefined ? '' : `ARC-Authentication-Results: ${more.aar}\r\n`;
  const gathered = atOnce(messageFacts(request, Buffer.from(`${aar}From: a@sender.example\r\n\r\n`), deps));
  return decide('message', { ...gathered, authenticity: found(given) });
}

/** In one word: the reply, or what it was accepted as. */
function outcome(...given: Parameters<typeof judge>): string {
  const verdict = judge(...given);
  if (verdict.action !== 'accept') return `${verdict.reply.code} ${verdict.reply.enhanced}`;
  const { disposition = 'none', override } = verdict.authenticity?.dmarc ?? {};
  const dmarc = disposition === 'none' && override === undefined ? [] : [disposition, override?.type ?? []].flat();
  return [verdict.junk ? 'junk' : 'mailbox', ...dmarc].join(' ');
}

const REJECT = { spf: { 'hard-fail': 'reject' } };
const SOFT = { junk: { 'soft-fail': true } };
const LISTS = { dmarc: { 'mailing-lists': ['lists.example', '192.0.2.99'] } };
const SEALERS = { dmarc: { 'arc-sealers': ['forward.example'] } };
const OVERRIDES = {
  dmarc: {
    overrides: [
      { domain: 'sender.example', policy: 'none' },
      { domain: 'strict.sender.example', policy: 'reject' },
      { domain: 'junk.sender.example', policy: 'quarantine' },
    ],
  },
};
const from = (name: string, policy: Policy): Found => ({ dmarc: { ...failed(policy), from: name } });
const ARC: Found['arc'] = { result: 'pass', sets: 2, sealer: 'forward.example' };
const AAR = 'i=2; forward.example; dkim=pass header.d=sender.example; dmarc=pass';

const TABLE: [title: string, given: Found, set: Record<string, unknown>, expected: string, aar?: string][] = [
  ['I1 no result', {}, {}, 'mailbox'],
  ['I1 a signature that passes', { dkim: [['pass']] }, {}, 'mailbox'],
  [
    'I1 a signature that cannot be judged',
    { dkim: [['neutral'], ['policy'], ['temperror'], ['permerror']] },
    {},
    'mailbox',
  ],
  ['I2 SPF none', { spf: { result: 'none' } }, REJECT, 'mailbox'],
  ['I2 SPF neutral', { spf: { result: 'neutral' } }, REJECT, 'mailbox'],
  ['I2 SPF pass', { spf: { result: 'pass' } }, REJECT, 'mailbox'],
  ['I2 SPF temperror', { spf: { result: 'temperror' } }, REJECT, 'mailbox'],
  ['I3 SPF fail, reject', { spf: { result: 'fail' } }, REJECT, '554 5.7.23'],
  ['I3 SPF softfail, reject', { spf: { result: 'softfail' } }, REJECT, 'mailbox'],
  ['I3 SPF fail of HELO, reject', { spf: { result: 'fail', scope: 'helo' } }, REJECT, '554 5.7.23'],
  ['I6 DKIM fail', { dkim: [['fail']] }, {}, 'junk'],
  ['I6 DKIM fail beside one that passes', { dkim: [['fail'], ['pass', 'lists.example']] }, {}, 'mailbox'],
  ['I6 DKIM fail beside one that cannot be judged', { dkim: [['fail'], ['neutral']] }, {}, 'junk'],
  ['I6 SPF fail', { spf: { result: 'fail' } }, {}, 'junk'],
  ['I6 SPF permerror', { spf: { result: 'permerror' } }, {}, 'junk'],
  ['I6 SPF softfail', { spf: { result: 'softfail' } }, {}, 'mailbox'],
  ['I6 SPF softfail, switched on', { spf: { result: 'softfail' } }, SOFT, 'junk'],
  ['I6 SPF fail and DKIM pass', { spf: { result: 'fail' }, dkim: [['pass']] }, {}, 'junk'],
  ['I6 SPF fail and DMARC pass', { spf: { result: 'fail' }, dmarc: { result: 'pass' } }, {}, 'mailbox'],
  ['I7 DMARC pass', { dmarc: { ...failed('reject'), result: 'pass' } }, {}, 'mailbox'],
  ['I7 DMARC none', { dmarc: { result: 'none' } }, {}, 'mailbox'],
  ['I7 DMARC temperror, p=reject', { dmarc: { ...failed('reject'), result: 'temperror' } }, {}, '451 4.4.3'],
  [
    'I7 DMARC temperror, only said',
    { dmarc: { ...failed('reject'), result: 'temperror' } },
    { dmarc: { enforce: false } },
    'mailbox',
  ],
  [
    'I7 DMARC temperror, p=quarantine',
    { dmarc: { ...failed('quarantine'), result: 'temperror' } },
    {},
    'junk quarantine',
  ],
  ['I7 DMARC temperror, no policy to be had', { dmarc: { result: 'temperror' } }, {}, 'mailbox'],
  ['I7 DMARC fail, p=none', { dmarc: failed('none') }, {}, 'mailbox'],
  ['I7 DMARC fail, p=quarantine', { dmarc: failed('quarantine') }, {}, 'junk quarantine'],
  ['I7 DMARC fail, p=reject', { dmarc: failed('reject') }, {}, '550 5.7.26'],
  ['I7 p=reject; t=y', { dmarc: failed('quarantine', 'reject') }, {}, 'junk quarantine policy_test_mode'],
  ['I7 p=quarantine; t=y', { dmarc: failed('none', 'quarantine') }, {}, 'mailbox none policy_test_mode'],
  ['I7 p=none; t=y', { dmarc: failed('none', 'none') }, {}, 'mailbox'],
  ['I7 only said', { dmarc: failed('reject') }, { dmarc: { enforce: false } }, 'mailbox none local_policy'],
  ['I7 override to none', from('sender.example', 'reject'), OVERRIDES, 'mailbox none local_policy'],
  ['I7 override of what is above', from('news.sender.example', 'reject'), OVERRIDES, 'mailbox none local_policy'],
  ['I7 the nearest override', from('strict.sender.example', 'none'), OVERRIDES, '550 5.7.26'],
  ['I7 override to quarantine', from('junk.sender.example', 'reject'), OVERRIDES, 'junk quarantine local_policy'],
  ['I7 override that is as asked', from('a.strict.sender.example', 'reject'), OVERRIDES, '550 5.7.26'],
  ['I7 override of another', from('notsender.example', 'reject'), OVERRIDES, '550 5.7.26'],
  [
    'I7 a list by SPF',
    { spf: { result: 'pass', domain: 'm.lists.example' }, dmarc: failed('reject') },
    LISTS,
    'mailbox none mailing_list',
  ],
  [
    'I7 a list by DKIM',
    { dkim: [['fail'], ['pass', 'lists.example']], dmarc: failed('reject') },
    LISTS,
    'mailbox none mailing_list',
  ],
  [
    'I7 a list that signs a part of the body',
    { dkim: [['pass', 'lists.example', true]], dmarc: failed('reject') },
    LISTS,
    '550 5.7.26',
  ],
  ['I7 a list that fails DKIM', { dkim: [['fail', 'lists.example']], dmarc: failed('reject') }, LISTS, '550 5.7.26'],
  [
    'I7 a list that fails SPF',
    { spf: { result: 'softfail', domain: 'lists.example' }, dmarc: failed('reject') },
    LISTS,
    '550 5.7.26',
  ],
  ['I8 a listed sealer', { arc: ARC, dmarc: failed('reject') }, SEALERS, 'mailbox none trusted_forwarder', AAR],
  ['I8 a listed sealer, DKIM fail', { arc: ARC, dkim: [['fail']] }, SEALERS, 'mailbox', AAR],
  [
    'I8 below a listed sealer',
    { arc: { ...ARC, sealer: 'a.forward.example' }, dmarc: failed('reject') },
    SEALERS,
    'mailbox none trusted_forwarder',
  ],
  [
    'I8 another sealer',
    { arc: { ...ARC, sealer: 'evil.example' }, dmarc: failed('reject') },
    SEALERS,
    '550 5.7.26',
    AAR,
  ],
  ['I8 a chain that fails', { arc: { ...ARC, result: 'fail' }, dmarc: failed('reject') }, SEALERS, '550 5.7.26', AAR],
  [
    'I8 DMARC failed at the sealer',
    { arc: ARC, dmarc: failed('reject') },
    SEALERS,
    '550 5.7.26',
    'i=2; forward.example; spf=pass;\r\n dmarc = Fail (p=reject)',
  ],
  [
    'I8 DMARC failed in a comment',
    { arc: ARC, dmarc: failed('reject') },
    SEALERS,
    'mailbox none trusted_forwarder',
    'i=2; forward.example; arc=pass (was; dmarc=fail (then)); dmarc=pass',
  ],
  [
    'I8 DMARC failed at an older sealer',
    { arc: ARC, dmarc: failed('reject') },
    SEALERS,
    'mailbox none trusted_forwarder',
    'i=1; x.example; dmarc=fail',
  ],
  ['I8 no sealer is trusted', { arc: ARC, dmarc: failed('reject') }, {}, '550 5.7.26', AAR],
];
for (const [title, given, set, expected, aar] of TABLE) {
  test(`${title}: ${expected}`, () => assert.equal(outcome(given, set, aar === undefined ? {} : { aar }), expected));
}

test('I7 a mailing list by its host', () => {
  const who = facts({ client: { address: '192.0.2.99', name: null, helo: 'x' } });
  const named = facts({ client: { address: '192.0.2.1', name: 'out.lists.example', helo: 'x' } });
  const unnamed = facts({ client: { address: '192.0.2.1', name: null, helo: 'out.lists.example' } });
  for (const [session, expected] of [
    [who, 'mailbox none mailing_list'],
    [named, 'mailbox none mailing_list'],
    [unnamed, '550 5.7.26'],
  ] as const) {
    assert.equal(outcome({ spf: { result: 'fail' }, dmarc: failed('reject') }, LISTS, { who: session }), expected);
  }
});

test('I3 the sentence that monitoring matches on', () => {
  const verdict = judge({ spf: { result: 'fail' } }, REJECT);
  assert.equal(verdict.action, 'reject');
  assert.equal(
    verdict.reply.text,
    'Mail rejected for policy reasons. SPF policy for domain sender.example does not designate host 192.0.2.7 as a permitted sender.',
  );
});

test('I7 a refusal names domain and policy, and says whose policy it is', () => {
  const own = judge({ dmarc: failed('reject') });
  assert.equal(own.action, 'reject');
  assert.equal(
    own.reply.text,
    'Mail from sender.example rejected for policy reasons: it passes neither SPF nor DKIM for that domain, and its DMARC policy is reject',
  );
  assert.equal(own.authenticity?.dmarc.disposition, 'reject');
  const local = judge(from('strict.sender.example', 'none'), OVERRIDES);
  assert.equal(local.action, 'reject');
  assert.match(local.reply.text, /strict\.sender\.example .*the policy for it here is reject$/);
  assert.equal(local.authenticity?.dmarc.override?.type, 'local_policy');
});

test('what was found goes on with the message, and with its refusal', () => {
  const refused = judge({ spf: { result: 'fail' } }, REJECT);
  assert.ok(refused.action === 'reject');
  assert.deepEqual(
    [refused.authenticity?.dmarc.disposition, refused.authenticity?.dmarc.override?.type],
    ['reject', 'local_policy'],
  );
  const accepted = judge({ spf: { result: 'fail' } });
  assert.ok(accepted.action === 'accept');
  assert.equal(accepted.authenticity?.spf.result, 'fail');
});
