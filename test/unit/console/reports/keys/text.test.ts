import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dnsText,
  nextText,
  nodesText,
  noteText,
  problemText,
  rotationText,
  scheduleText,
} from '#services/console/reports/keys/text.ts';
import { KeyState } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { keyStatus, rotationStatus } from '#test/kit/dkim/fake-credential-store.ts';

const PUBLISH: KeyStatus['publish'][] = ['update', 'manual', 'cname', 'none'];

test('every state says what comes next, however the key is published', () => {
  const until = Date.now();
  for (const state of KeyState.options) {
    for (const publish of PUBLISH) {
      const text = nextText(keyStatus({ state, publish, until }));
      assert.ok(text.length > 5 && !/undefined|\.$/.test(text), `${state}, ${publish}: ${text}`);
      assert.doesNotMatch(nextText(keyStatus({ state, publish })), /undefined|until$|after$/);
    }
  }
});

for (const [own, words] of [
  [{ state: 'replicated', publish: 'manual' }, /publish it/],
  [{ state: 'replicated', publish: 'update' }, /Sealpost is about to publish/],
  [{ state: 'proven', activate: false }, /"sealpost keys activate example\.com s1"/],
  [{ state: 'proven', activate: true }, /is about to sign/],
  [{ state: 'retired', publish: 'manual' }, /says it is revoked: publish it/],
  [{ state: 'revoked', publish: 'manual' }, /remove its record/],
] as [Partial<KeyStatus>, RegExp][]) {
  test(`${JSON.stringify(own)}: what the operator has to do is said`, () =>
    assert.match(nextText(keyStatus(own)), words));
}

test('a key that has stopped at a problem is not said to go on', () => {
  const problem = { text: 'the server answers REFUSED', since: 0, permanent: true };
  for (const state of KeyState.options) {
    const text = nextText(keyStatus({ state, publish: 'update', problem }));
    if (state !== 'active' && state !== 'retiring') assert.equal(text, 'is held up by a problem that needs you');
    else assert.match(text, /sign/);
  }
});

test('what is not right in DNS is noted of keys that need their record, where no problem says it already', () => {
  const server = { server: 'ns1.example.com', verdict: 'missing' as const, detail: 'has no TXT record there' };
  const dns = { node: 'edge-1', verdict: 'missing' as const, summary: 'ns1 has none', servers: [server], at: 0 };
  const note = 's1 of example.com: the record of a key that signs is not as it should be: ns1 has none';
  assert.equal(noteText(keyStatus({ state: 'active', dns })), note);
  assert.match(noteText(keyStatus({ state: 'retiring', dns })) ?? '', /a key that has signed/);
  const silent = { ...dns, verdict: 'unreachable' as const };
  assert.match(noteText(keyStatus({ state: 'active', dns: silent })) ?? '', /cannot be seen everywhere: ns1 has none/);
  assert.equal(noteText(keyStatus({ state: 'published', dns })), undefined);
  assert.equal(noteText(keyStatus({ state: 'active' })), undefined);
  const problem = { text: 'no server answers', since: Date.now(), permanent: false };
  assert.match(noteText(keyStatus({ state: 'active', dns, problem })) ?? '', /^s1 of example\.com: no server answers/);
});

for (const [nodes, names, expected] of [
  [{ holding: ['a', 'b'], live: 2 }, ['a', 'b'], '2/2'],
  [{ holding: ['a', 'c'], live: 3 }, ['a', 'b', 'c'], '2/3, not b'],
  [{ holding: [], live: 2 }, ['a', 'b'], '0/2, not a, b'],
  // Nobody could say which nodes there are.
  [{ holding: ['a'], live: 2 }, [], '1/2'],
] as const) {
  test(`nodes: ${expected}`, () =>
    assert.equal(nodesText(keyStatus({ nodes: { ...nodes, holding: [...nodes.holding] } }), names), expected));
}

test('DNS: nothing to look at, not looked at, right, wrong', () => {
  const { dns: _, ...unseen } = keyStatus();
  assert.equal(dnsText(keyStatus({ publish: 'none' })), '-');
  assert.equal(dnsText(unseen), 'not looked at yet');
  assert.equal(dnsText(keyStatus()), 'ok');
  const server = (verdict: string, n: number) => ({ server: `ns${n}.example.com (192.0.2.${n})`, verdict, detail: '' });
  const dns = { node: 'edge-1', verdict: 'different' as const, summary: 'SERVFAIL', servers: [server('ok', 1)], at: 0 };
  assert.equal(dnsText(keyStatus({ dns })), 'SERVFAIL');
  dns.servers.push(server('different', 2));
  assert.equal(dnsText(keyStatus({ dns })), 'different at ns2.example.com (192.0.2.2)');
  dns.servers.push(server('missing', 3));
  assert.equal(dnsText(keyStatus({ dns })), 'different at ns2.example.com (192.0.2.2) and 1 more');
});

test('a problem tells since when, and whether somebody must act', () => {
  const since = Date.now() - 3_600_000;
  assert.equal(problemText(keyStatus()), undefined);
  const text = 'no server answers';
  assert.match(
    problemText(keyStatus({ problem: { text, since, permanent: false } })) ?? '',
    /^no server answers \(for 1h/,
  );
  const permanent = problemText(keyStatus({ problem: { text, since, permanent: true } })) ?? '';
  assert.match(permanent, /tried every 10 minutes, or by "sealpost keys resume example\.com"\)$/);
});

test('a compromised key that may still be in DNS is noted, whatever else is to be said of it', () => {
  const problem = { text: 'ns1 answers REFUSED', since: Date.now(), permanent: false };
  const note = noteText(keyStatus({ state: 'retired', exposed: true, problem })) ?? '';
  assert.match(note, /^s1 of example\.com: is compromised and may still be in DNS: .*; ns1 answers REFUSED/);
  assert.match(noteText(keyStatus({ state: 'retired', exposed: true })) ?? '', /compromised/);
});

test('a rotation that is over waits for nothing', () => {
  for (const state of ['done', 'rolled-back'] as const) {
    assert.doesNotMatch(rotationText(rotationStatus({ state })), /missing/);
  }
  assert.match(
    rotationText(rotationStatus()),
    /\(s1 → s2\): running for .*; its record is missing at ns1\.example\.com$/,
  );
});

test('a schedule is a sentence', () => {
  const schedule = { domain: 'a.example', days: 1, at: '03:00', zone: 'UTC', parallel: true, next: 0 };
  assert.match(scheduleText(schedule), /^schedule of a\.example: every day at 03:00 UTC, beside others, next 19/);
});
