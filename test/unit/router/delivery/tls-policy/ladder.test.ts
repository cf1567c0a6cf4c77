import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostUnusable, type TlsTrouble } from '#services/router/delivery/smtp/errors.ts';
import { type Attempt, Ladder, type LadderDeps, type Opened } from '#services/router/delivery/tls-policy/ladder.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import type { TlsMemory } from '#services/router/delivery/tls-policy/memory.ts';
import type { TlsResult } from '#services/router/delivery/tls-policy/result.ts';
import type { Target } from '#services/router/delivery/tls-policy/wanted.ts';
import { reply } from '#shared/mail/reply.ts';
import { logLines } from '#test/kit/log-lines.ts';

const target: Target = { name: 'mx.d.test', address: '192.0.2.1', port: 25, domain: 'd.test' };
const HANDSHAKE: TlsTrouble = { type: 'validation-failure', reason: 'reset in the handshake', handshake: true };
const MISMATCH: TlsTrouble = { type: 'certificate-host-mismatch', reason: 'not for mx.d.test', handshake: false };
const unusable = (tls?: TlsTrouble) => new HostUnusable('mx.d.test', reply(454, '4.7.5', 'no'), false, tls);
const CLEAR: Opened = {
  protection: { wanted: 'opportunistic', by: 'default', reached: 'clear' },
  ...{ judgement: undefined, localAddress: '192.0.2.9' },
};
const TLS: Opened = { ...CLEAR, protection: { wanted: 'opportunistic', by: 'default', reached: 'encrypted' } };

function memory(): TlsMemory {
  const domains = new Map<string, NonNullable<ReturnType<TlsMemory['domain']>>>();
  const hosts = new Map<string, NonNullable<ReturnType<TlsMemory['host']>>>();
  return {
    domain: (name) => domains.get(name),
    host: (name) => hosts.get(name),
    noteDomain: (name, fact) => void domains.set(name, fact),
    noteHost: (name, fact) => void hosts.set(name, fact),
  };
}

function ladder(rules: Partial<LadderDeps['rules']> = {}, lostTls: 'wait' | 'go-on' = 'go-on') {
  const { log, lines } = logLines();
  const lost = new LostDestinations(log);
  const results: TlsResult[] = [];
  const remembered = memory();
  const make = () =>
    new Ladder({
      rules: { tls: 'opportunistic', byMessage: false, implicitTls: false, secret: undefined, ...rules },
      ...{ memory: remembered, ifLost: () => lostTls, lost, onTlsResult: (result) => results.push(result), log },
    });
  return { ladder: make(), make, lost, results, remembered, lines };
}

function ladderWith(remembered: TlsMemory, tls: 'required'): Ladder {
  const { log } = logLines();
  const rules = { tls, byMessage: false, implicitTls: false, secret: undefined };
  const lost = new LostDestinations(log);
  return new Ladder({ rules, memory: remembered, ifLost: () => 'go-on', lost, onTlsResult: undefined, log });
}

/** The rungs that are taken with a host whose handshake always fails. */
function rungs(one: Ladder): string[] {
  const taken: string[] = [];
  for (let at: Attempt | undefined = one.first(target); at !== undefined; at = one.next(at, unusable(HANDSHAKE)))
    taken.push(at.rung);
  return taken;
}

test('a handshake that fails is followed by a reduced one, then by clear text, and then by nothing', () => {
  assert.deepEqual(rungs(ladder().ladder), ['usual', 'reduced', 'clear']);
});

test('clear text is no step where TLS is wanted', () => {
  for (const tls of ['required', 'verified'] as const)
    assert.deepEqual(rungs(ladder({ tls }).ladder), ['usual', 'reduced']);
  assert.deepEqual(rungs(ladder({ implicitTls: true }).ladder), ['usual', 'reduced']);
  assert.deepEqual(rungs(ladder({ secret: 'password' }).ladder), ['usual', 'reduced']);
});

test('trouble that is not the handshake’s has no further step', () => {
  const one = ladder().ladder;
  assert.equal(one.next(one.first(target), unusable()), undefined);
  assert.equal(one.next(one.first(target), unusable(MISMATCH)), undefined);
});

const FAILED = { type: 'validation-failure', reason: 'reset' } as const;

test('the reduced hello that helped is what all routers begin with', () => {
  const { ladder: one, make } = ladder();
  one.opened({ ...one.first(target), rung: 'reduced', failure: FAILED }, TLS);
  assert.equal(make().first(target).rung, 'reduced');
  assert.equal(make().first({ ...target, name: 'mx2.d.test' }).rung, 'usual');
});

test('a reduced hello that is remembered is followed by the usual one, and never renews itself', () => {
  const { ladder: one, make, remembered } = ladder();
  const noted = Date.now() - 6 * 86_400_000;
  remembered.noteHost(target.name, { reducedHello: noted });
  one.opened(one.first(target), TLS);
  assert.equal(remembered.host(target.name)?.reducedHello, noted);
  assert.deepEqual(rungs(one), ['reduced', 'usual', 'clear']);
  assert.deepEqual(rungs(ladderWith(remembered, 'required')), ['reduced', 'usual']);
  remembered.noteHost(target.name, { reducedHello: noted - 2 * 86_400_000 });
  assert.equal(make().first(target).rung, 'usual', 'after a week');
});

test('a session that did not come to TLS teaches nothing of the hello', () => {
  const { ladder: one, remembered } = ladder();
  one.opened({ ...one.first(target), rung: 'reduced', failure: FAILED }, CLEAR);
  assert.equal(remembered.host(target.name), undefined);
});

test('a route without TLS says nothing of the peer', () => {
  const { ladder: one, results } = ladder({ tls: 'off' });
  one.opened(one.first(target), { ...CLEAR, protection: { wanted: 'off', by: 'route', reached: 'clear' } });
  assert.deepEqual(results, []);
});

test('clear text is remembered by this process alone, and not where TLS is wanted now', () => {
  const { ladder: one, make } = ladder();
  rungs(one);
  assert.equal(one.first(target).rung, 'clear');
  assert.equal(make().first(target).rung, 'usual');
  const policy = { id: '1', mode: 'enforce', mx: [], lines: [] } as const;
  assert.equal(one.first({ ...target, sts: { policy, matches: true } }).rung, 'usual');
});

test('a destination that had TLS and goes clear is an alarm until TLS is back', () => {
  const { ladder: one, lost, lines } = ladder();
  one.opened(one.first(target), TLS);
  assert.deepEqual(lost.list, []);
  const again = one.first(target);
  assert.equal(again.wanted.by, 'memory');
  one.opened(again, CLEAR);
  one.opened(again, CLEAR);
  assert.deepEqual(
    lost.list.map(({ domain, host, mail }) => [domain, host, mail]),
    [['d.test', 'mx.d.test', 'sent in clear text']],
  );
  assert.equal(lines().filter(({ msg }) => msg.includes('had TLS before')).length, 1, 'and is told once');
  one.opened(again, TLS);
  assert.deepEqual(lost.list, []);
});

test('with tls-lost: wait its mail waits, and that is told', () => {
  const { ladder: one, lost } = ladder({}, 'wait');
  one.opened(one.first(target), TLS);
  const again = one.first(target);
  assert.deepEqual(again.wanted, { tls: 'required', by: 'memory' });
  one.failed(again, unusable({ type: 'starttls-not-supported', reason: 'none offered', handshake: false }));
  assert.equal(lost.list[0]?.mail, 'waits');
});

test('each host is reported once for an attempt, with the policy that was applied', () => {
  const { ladder: one, results } = ladder();
  const policy = { id: '1', mode: 'testing', mx: ['other.d.test'], lines: ['version: STSv1'] } as const;
  const testing = { ...target, sts: { policy, matches: false } };
  one.opened(one.first(target), TLS);
  one.opened({ ...one.first(target), rung: 'clear', failure: { type: 'validation-failure', reason: 'reset' } }, CLEAR);
  one.opened(one.first(testing), TLS);
  one.failed(one.first(target), unusable(MISMATCH));
  one.failed(one.first(target), unusable());
  assert.deepEqual(
    results.map(
      (result) => `${result.policy.type} ${result.failure?.type ?? 'success'} ${result.failure?.reason ?? ''}`,
    ),
    [
      'no-policy-found success ',
      'no-policy-found validation-failure reset',
      'sts validation-failure mx.d.test is not named by the policy',
      'no-policy-found certificate-host-mismatch not for mx.d.test',
    ],
  );
  assert.equal(results[0]?.host?.localAddress, '192.0.2.9');
});

test('a smart host is neither remembered nor reported', () => {
  const { ladder: one, results, remembered } = ladder();
  const { domain: _, ...smart } = target;
  one.opened(one.first(smart), TLS);
  assert.deepEqual([results, remembered.domain('d.test'), remembered.domain('mx.d.test')], [[], undefined, undefined]);
});
