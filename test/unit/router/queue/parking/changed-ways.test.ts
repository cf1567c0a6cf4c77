import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { mayMove, movesNothing } from '#services/router/queue/parking/changed-ways.ts';
import type { Directive } from '#shared/directive.ts';

const configOf = (more: object) => ConfigSchema.parse({ node: { name: 'edge-1', hostname: 'mx.test' }, ...more });

test('a change of what next hops and deadlines depend on moves mail, and no other one', () => {
  const before = configOf({});
  for (const [more, nothing] of [
    [{ limits: { sessions: 5 }, delivery: { connections: 3 }, queue: { retry: { first: '1m' } } }, true],
    [{ rates: { destinations: [{ to: 'a.test', connections: 1 }] } }, true],
    [{ routes: [{ to: 'a.test', via: 'smtp://b.test' }] }, false],
    [{ node: { name: 'edge-1', hostname: 'other.test' } }, false],
    [{ queue: { expire: '1d' } }, false],
    [{ queue: { 'delay-notice': '1h' } }, false],
    [{ delivery: { 'tls-reports': { receive: ['tls@a.test'] } } }, false],
  ] as const)
    assert.equal(movesNothing(configOf(more), before), nothing, JSON.stringify(more));
});

test('a redirected domain moves mail by MX for it and what is below it, and mail by any other hop; a suspended one none', () => {
  const directive = (kind: Directive['kind'], name: string): Directive => {
    return { kind, about: 'domain', name, at: 1, until: 2, keep: 2, by: 'root' };
  };
  const keys = [
    'mx:b.test',
    'mx:a.b.test (tls required)',
    'mx:ab.test',
    'mx:test',
    'smtp://b.test',
    'reports, else mx:c.test',
  ];
  const moved = keys.filter((key) => mayMove(key, [directive('suspend', 'test'), directive('redirect', 'b.test')]));
  assert.deepEqual(moved, ['mx:b.test', 'mx:a.b.test (tls required)', 'smtp://b.test', 'reports, else mx:c.test']);
  assert.equal(mayMove('smtp://b.test', [directive('suspend', 'b.test')]), false);
  assert.equal(mayMove('mx:b.test', []), false);
});
