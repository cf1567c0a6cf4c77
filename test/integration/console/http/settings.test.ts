import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { SettingsChecked } from '#services/console/schemas/settings.ts';
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

  test('what a change would do: options, what needs a restart, and the alarms', async () => {
    using viewer = site.program('watcher');
    const now = await readFile(site.node.configFile, 'utf8');
    const tried = async (text: string): Promise<SettingsChecked> => {
      const { status, text: said, json } = await viewer.post('/api/settings/check', { text });
      assert.equal(status, 200, said);
      assert.doesNotMatch(said, /a-token-of|whsec_|robot-robot/);
      return json as SettingsChecked;
    };
    const same = await tried(now);
    assert.deepEqual([same.problems, same.changes, same.alarms, same.restart], [[], [], [], undefined]);

    const more = '\nqueue: { expire: 3d }\ndomains: [{ name: example.com, signing: { mode: enforce } }]\n';
    const one = await tried(now.replace('a-token-of-the-receiver', 'another') + more);
    const [added, ...changed] = one.changes ?? [];
    assert.deepEqual([added?.path, added?.before, added?.effect], ['domains[example.com]', undefined, 'now']);
    assert.deepEqual(changed, [
      { path: 'queue.expire', before: '5d', after: '3d', effect: 'now' },
      {
        ...{ path: 'webhooks[chat].url', effect: 'now' },
        ...{ before: 'https://127.0.0.1:9/[secret]', after: 'https://127.0.0.1:9/[secret]' },
      },
    ]);
    assert.deepEqual(
      one.alarms?.map(({ change, severity, about }) => `${change} ${severity} ${about}`),
      ['raised error example.com'],
    );
    assert.equal(one.restart, undefined);

    const two = await tried(now.replace('name: edge-1', 'name: edge-7'));
    assert.deepEqual(two.changes, [{ path: 'node.name', before: 'edge-1', after: 'edge-7', effect: 'restart' }]);
    assert.ok(two.restart?.includes('router') && two.restart.includes('console'));

    await writeFile(join(site.node.folder, 'next.yaml'), now.replace('name: edge-1', 'name: edge-7'));
    const printed = await site.node.sealpost('config', 'diff', join(site.node.folder, 'next.yaml'));
    assert.match(printed, /node\.name +edge-1 +edge-7 +after a restart/);
    assert.equal(await site.node.sealpost('config', 'diff', site.node.configFile), 'nothing changes\n');
  });
});
