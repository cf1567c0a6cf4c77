import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EVENTS, ROUTES } from '#services/console/api/areas.ts';
import type { Route } from '#services/console/api/route.ts';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';

/** Who may ask what: every route of the API, asked by everybody. */

let site: ConsoleSite;
let clients: Record<'nobody' | 'viewer' | 'operator' | 'bounded', ConsoleClient>;
before(async () => {
  site = await ConsoleSite.start();
  clients = {
    nobody: site.client(),
    viewer: site.program('watcher'),
    operator: site.program('robot'),
    bounded: site.program('ours'),
  };
});
after(async () => await site[Symbol.asyncDispose]());

/** What only looks, although it is asked with a body. */
const LOOKING: readonly string[] = ['POST /api/settings/check'];

const nameOf = ({ method, path }: Route): string => `${method} ${path}`;
/** Names that nothing has. */
const pathOf = ({ path }: Route): string => path.replaceAll(/:\w+/g, 'x-nothing');

const ask = async (who: keyof typeof clients, route: Route): Promise<number> =>
  (await clients[who].send(pathOf(route), { method: route.method })).status;

describe('every route', () => {
  test('there are some, and each is declared once', () => {
    assert.ok(ROUTES.length > 0);
    assert.equal(new Set(ROUTES.map(nameOf)).size, ROUTES.length);
  });

  for (const route of ROUTES) {
    test(`${nameOf(route)}: ${route.access}, ${route.domains ?? 'refused'}`, async () => {
      assert.equal(await ask('nobody', route), 401);
      const changes = route.method !== 'GET' && !LOOKING.includes(nameOf(route));
      if (changes) assert.equal(route.access, 'operator', 'a viewer changes nothing');
      if (route.access === 'operator') assert.equal(await ask('viewer', route), 403);
      else assert.notEqual(await ask('viewer', route), 403);
      if (route.domains !== 'filtered') assert.equal(await ask('bounded', route), 403);
      const { status } = await clients.operator.send(pathOf(route), { method: 'OPTIONS' });
      assert.equal(status, 404, 'no other site is ever allowed to ask (CORS)');
    });
  }

  test('a domain that is not hers is not told to its administrator, wherever a domain is named', async () => {
    using theirs = site.program('theirs');
    for (const route of ROUTES.filter(({ path, domains }) => path.includes(':domain') && domains === 'filtered')) {
      const path = route.path.replace(':domain', 'example.com').replaceAll(/:\w+/g, 'x-nothing');
      const { status } = await theirs.send(path, { method: route.method, body: { domain: 'example.com' } });
      assert.ok([403, 404, 422].includes(status), `${nameOf(route)} answers ${status}`);
    }
  });
});

describe('events', () => {
  test('nobody follows any', async () => {
    for (const { name } of EVENTS) {
      assert.equal((await clients.nobody.get(`/api/events?follow=${name}`)).status, 401);
    }
  });

  test('what does not exist cannot be followed, nor can nothing', async () => {
    for (const query of [
      '?follow=constructor',
      '?follow=',
      '',
      '?follow=overview&follow=overview',
      '?follow=overview,x',
    ]) {
      assert.equal((await clients.viewer.get(`/api/events${query}`)).status, 422, query);
    }
  });

  for (const source of EVENTS) {
    test(`${source.name}: ${source.access}, ${source.domains ?? 'refused'}`, async () => {
      const path = `/api/events?follow=${source.name}`;
      if (source.access === 'operator') assert.equal((await clients.viewer.get(path)).status, 403);
      if (source.domains !== 'filtered') assert.equal((await clients.bounded.get(path)).status, 403);
    });
  }

  test('a token follows so many at a time and no more', async () => {
    const stop = new AbortController();
    const first = Array.from({ length: 8 }, () => clients.viewer.events('overview', stop.signal));
    for (const stream of first) assert.equal((await stream.next()).value?.event, 'overview');
    const { status, text } = await clients.viewer.get('/api/events?follow=overview');
    assert.equal(status, 429);
    assert.match(text, /too many pages follow/);
    stop.abort();
    await Promise.allSettled(first.map((stream) => stream.next()));
  });
});

describe('the description', () => {
  test('is for whoever is signed in', async () => {
    assert.equal((await clients.nobody.get('/api/openapi.json')).status, 401);
    assert.equal((await clients.bounded.get('/api/openapi.json')).status, 200);
  });
});
