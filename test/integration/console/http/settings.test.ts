import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConsoleSite } from '#test/kit/console/site.ts';

/** Settings over the API, for somebody who may look and nothing else. */

const WEBHOOKS = `webhooks:
  - name: chat
    url: https://127.0.0.1:9/services/T0CH4T/a-token-of-the-receiver?key=another-token
    secret: whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    events: [alarm.*]
`;

describe('settings', () => {
  let site: ConsoleSite;
  before(async () => {
    site = await ConsoleSite.start({ config: WEBHOOKS });
  });
  after(async () => await site[Symbol.asyncDispose]());

  test('show the host of a webhook, and not the tokens that its URL may have', async () => {
    using viewer = site.program('watcher');
    const { status, text } = await viewer.get('/api/settings');
    assert.equal(status, 200);
    assert.match(text, /https:\/\/127\.0\.0\.1:9\//);
    assert.doesNotMatch(text, /T0CH4T|token-of|another-token|whsec_/);
  });

  test('a text that is much work to check keeps nobody else waiting, and is given up', async () => {
    using viewer = site.program('watcher');
    using other = site.program('robot');
    const text = Array.from({ length: 80_000 }, (_, n) => `k${n}: 1\n`).join('');
    let isDone = false;
    const check = viewer.post('/api/settings/check', { text }).finally(() => {
      isDone = true;
    });
    // The request is there before the next one, on another connection, is answered some times.
    for (let n = 0; n < 20; n++) assert.equal((await other.get('/api/session')).status, 200);
    assert.equal(isDone, false);
    const second = await other.post('/api/settings/check', { text: 'node: { name: a }' });
    assert.equal(second.status, 503, 'one at a time');
    const { status, json } = await check;
    assert.equal(status, 503);
    assert.match((json as { error: { message: string } }).error.message, /too much work/);
  });

  test('aliases that grow without measure are a mistake of the text', async () => {
    using viewer = site.program('watcher');
    const line = (name: string, of: string): string => `${name}: &${name} [${Array(10).fill(of).join(',')}]\n`;
    const text = line('a', '1') + line('b', '*a') + line('c', '*b') + line('d', '*c');
    const { status, json } = await viewer.post('/api/settings/check', { text });
    assert.equal(status, 200);
    assert.match((json as { problems: { message: string }[] }).problems[0]?.message ?? '', /alias/i);
  });
});
