import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop } from '#services/router/delivery/job.ts';
import { hopOfMessage } from '#services/router/queue/message-hop.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';

const FORCED: MessageTls = { level: 'required', by: 'subject', otherwise: 'return' };
const VERIFIED: MessageTls = { level: 'verified', by: 'sender', otherwise: 'hold' };
const REQUIRETLS: MessageTls = { level: 'requiretls', by: 'requiretls' };
const RENOUNCED: MessageTls = { level: 'optional', by: 'tls-required' };

const mx = (tls: NextHop['tls']): NextHop => ({ key: `mx ${tls}`, spec: { kind: 'mx', domain: 'x.test' }, tls });
const to = (spec: NextHop['spec']): NextHop => ({ key: 'route', spec, tls: 'opportunistic', limit: 'x.test' });

test('a message strengthens the TLS of its route, and never weakens it', () => {
  const table: [NextHop['tls'], MessageTls, NextHop['tls'], NextHop['demand']][] = [
    ['opportunistic', FORCED, 'required', { requireTls: false }],
    ['off', FORCED, 'required', { requireTls: false }],
    ['required', FORCED, 'required', { requireTls: false }],
    ['verified', FORCED, 'verified', { requireTls: false }],
    ['opportunistic', VERIFIED, 'verified', { requireTls: false }],
    ['required', VERIFIED, 'verified', { requireTls: false }],
    ['off', REQUIRETLS, 'verified', { requireTls: true }],
    ['verified', REQUIRETLS, 'verified', { requireTls: true }],
    ['opportunistic', RENOUNCED, 'opportunistic', { requireTls: false, ignorePolicies: true }],
    ['required', RENOUNCED, 'required', { requireTls: false, ignorePolicies: true }],
    ['verified', RENOUNCED, 'verified', { requireTls: false, ignorePolicies: true }],
  ];
  for (const [route, tls, wanted, demand] of table) {
    const hop = hopOfMessage(mx(route), { tls, reversePath: 'a@example.com' });
    assert.deepEqual([hop.tls, hop.demand], [wanted, demand], `${tls.level} over ${route}`);
    assert.notEqual(hop.key, mx(route).key, 'a connection under other rules is not shared');
  }
  assert.equal(hopOfMessage(mx('required'), { reversePath: '' }).key, 'mx required');
});

test('no two rules share a key', () => {
  const all = [FORCED, VERIFIED, REQUIRETLS, RENOUNCED].map((tls) => ({ tls, reversePath: 'a@example.com' }));
  const hops = [...all, { tls: REQUIRETLS, reversePath: '' }].map((said) => hopOfMessage(mx('opportunistic'), said));
  assert.equal(new Set(hops.map(({ key }) => key)).size, 5, hops.map(({ key }) => key).join('\n'));
});

test('a notification with REQUIRETLS asks for it where it is offered, and keeps the rule of its route', () => {
  const hop = hopOfMessage(mx('opportunistic'), { tls: REQUIRETLS, reversePath: '' });
  assert.deepEqual([hop.tls, hop.demand], ['opportunistic', { requireTls: 'if-offered' }]);
});

test('a report about TLS goes out whatever TLS its way demands, but for that to a host of ours', () => {
  const report = { tlsReport: true, reversePath: '' };
  const demand = { requireTls: false, ignorePolicies: true };
  for (const tls of ['off', 'opportunistic', 'required', 'verified'] as const) {
    const { key: _, ...hop } = hopOfMessage(mx(tls), report);
    const { spec } = mx(tls);
    assert.deepEqual(hop, { spec, tls: tls === 'off' ? 'off' : 'opportunistic', demand });
  }
  const host = { ...to({ kind: 'smtp', host: 'mail.test', port: 25 }), tls: 'verified' as const };
  assert.equal(hopOfMessage(host, report), host);
});

test('mail that stays on this machine needs no TLS', () => {
  const table: [NextHop['spec'], forced: boolean, requireTls: boolean][] = [
    [{ kind: 'maildir', folder: 'x' }, false, false],
    [{ kind: 'capture', folder: 'x' }, false, false],
    [{ kind: 'discard' }, false, false],
    [{ kind: 'lmtp', host: '127.0.0.1', port: 24 }, false, false],
    [{ kind: 'lmtp', host: '::1', port: 24 }, false, false],
    [{ kind: 'lmtp', host: 'localhost', port: 24 }, false, false],
    [{ kind: 'lmtp', host: '10.0.0.1', port: 24 }, true, true],
    [{ kind: 'lmtp', host: 'mail.test', port: 24 }, true, true],
    // What is there passes mail on.
    [{ kind: 'smtp', host: '127.0.0.1', port: 10_025 }, false, true],
    [{ kind: 'smtp', host: '192.0.2.1', port: 25 }, true, true],
    [{ kind: 'mx', domain: '[127.0.0.1]' }, true, true],
  ];
  for (const [spec, forced, requireTls] of table) {
    for (const [tls, expected] of [[FORCED, forced] as const, [REQUIRETLS, requireTls] as const]) {
      const hop = hopOfMessage(to(spec), { tls, reversePath: 'a@example.com' });
      assert.equal(hop.demand !== undefined, expected, `${tls.level} to ${JSON.stringify(spec)}`);
      assert.equal(hop.limit, 'x.test');
    }
  }
});
