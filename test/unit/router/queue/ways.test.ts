import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Routing } from '#services/router/queue/routing.ts';
import { waysTo } from '#services/router/queue/ways.ts';
import type { Directive } from '#shared/directive.ts';
import { tempDir } from '#test/kit/temp.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

/** The next hops of mail for peer.example, and whose mail takes them. */

const A = 'smtp://a.example:25';
const B = 'smtp://b.example:25';

async function waysOf(routes: object[], redirected?: string): Promise<string[]> {
  await using folder = await tempDir();
  const settings = settingsFor(folder.path, { routes });
  const directive = { kind: 'redirect', about: 'domain', name: 'peer.example', via: redirected } as Directive;
  const redirects = { revision: 1, redirect: () => (redirected === undefined ? undefined : directive) };
  return waysTo('peer.example', new Routing(settings, redirects), settings.current).map(
    (way) =>
      `${way.hop?.key ?? 'nowhere'}: ${way.for.map(({ from, user }) => `${from ?? ''}/${user ?? ''}`).join(' ') || 'all'}`,
  );
}

for (const [what, routes, expected] of [
  ['no routes', [], ['mx:peer.example: all']],
  ['one for all', [{ to: '*', via: A }], [`${A}: all`]],
  [
    'senders and users of their own',
    [
      { to: '*', via: A },
      { to: '*', from: 'news.example', via: B },
      { to: '*', from: 'ann@example.com', via: 'mx' },
      { to: '*', user: '*', via: B },
      { to: '*', user: 'bob', from: '*', via: A, tls: 'required' },
    ],
    [`${A}: all`, `${B}: news.example/ /*`, 'mx:peer.example: ann@example.com/', `${A} (tls required): */bob`],
  ],
  [
    'one by which nothing changes',
    [
      { to: '*', via: A },
      { to: 'peer.example', from: 'x.example', via: A },
    ],
    [`${A}: all`],
  ],
  [
    'one for the domain before one for a sender',
    [
      { to: 'peer.example', via: A },
      { to: '*', from: 'news.example', via: B },
    ],
    [`${A}: all`],
  ],
  [
    'one for another domain',
    [
      { to: '*', via: A },
      { to: 'other.example', from: 'news.example', via: B },
    ],
    [`${A}: all`],
  ],
] as const)
  test(`the ways to a domain: ${what}`, async () => {
    assert.deepEqual(await waysOf([...routes]), expected);
  });

test('where an operator redirects a domain, all go there, each by the rules of its route', async () => {
  const routes = [
    { to: '*', via: A },
    { to: '*', from: 'news.example', via: B },
    { to: '*', from: 'bank.example', via: B, tls: 'verified' },
  ];
  assert.deepEqual(await waysOf(routes, 'smtp://c.example'), [
    'smtp://c.example: all',
    'smtp://c.example (tls verified): bank.example/',
  ]);
});
