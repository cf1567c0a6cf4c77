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

/** What is asked of a connection: TLS, and the demand in words. */
function asked(hop: NextHop): string {
  const { demand } = hop;
  if (demand === undefined) return hop.tls;
  const { raises, strict, requireTls, ignorePolicies } = demand;
  const words = [raises && 'raised', strict && 'strict', `REQUIRETLS ${requireTls}`, ignorePolicies && 'no policies'];
  return [hop.tls, ...words.filter((word) => word !== false)].join(', ');
}

test('a message strengthens the TLS of its route, and never weakens it', () => {
  const table: [NextHop['tls'], MessageTls, string][] = [
    ['opportunistic', FORCED, 'required, raised, strict, REQUIRETLS never'],
    ['off', FORCED, 'required, raised, strict, REQUIRETLS never'],
    ['required', FORCED, 'required, strict, REQUIRETLS never'],
    ['verified', FORCED, 'verified, strict, REQUIRETLS never'],
    ['opportunistic', VERIFIED, 'verified, raised, strict, REQUIRETLS never'],
    ['required', VERIFIED, 'verified, raised, strict, REQUIRETLS never'],
    ['off', REQUIRETLS, 'verified, raised, strict, REQUIRETLS always'],
    ['verified', REQUIRETLS, 'verified, strict, REQUIRETLS always'],
    ['opportunistic', RENOUNCED, 'opportunistic, REQUIRETLS never, no policies'],
    ['required', RENOUNCED, 'required, REQUIRETLS never, no policies'],
    ['verified', RENOUNCED, 'verified, REQUIRETLS never, no policies'],
  ];
  for (const [route, tls, expected] of table) {
    const hop = hopOfMessage(mx(route), { tls, reversePath: 'a@example.com' });
    assert.equal(asked(hop), expected, `${tls.level} over ${route}`);
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
  assert.equal(asked(hop), 'opportunistic, REQUIRETLS if-offered');
});

test('LMTP is the last step: it needs verified TLS, and REQUIRETLS only where it is offered', () => {
  const hop = hopOfMessage(to({ kind: 'lmtp', host: '10.0.0.1', port: 24 }), {
    tls: REQUIRETLS,
    reversePath: 'a@x.test',
  });
  assert.equal(asked(hop), 'verified, raised, strict, REQUIRETLS if-offered');
});

test('a report about TLS goes out whatever TLS its way demands, but for that to a host of ours', () => {
  const report = { tlsReport: true, reversePath: '' };
  const demand = { raises: false, strict: false, requireTls: 'never', ignorePolicies: true };
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
