import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { parseConfig } from '#cluster/config/load.ts';
import { containerName, nameOf } from '#cluster/container-name.ts';

const before = process.env['HOSTNAME'];
afterEach(() => {
  if (before === undefined) delete process.env['HOSTNAME'];
  else process.env['HOSTNAME'] = before;
});

for (const [answer, name] of [
  ['sealpost_policy_2.sealpost_default', 'policy-2'],
  ['sealpost-policy-2.sealpost_default', 'policy-2'],
  ['mail_router_listener_1.mail_router_default', 'listener-1'],
  ['mail-router-extra-listener-3.mail-router_default', 'extra-listener-3'],
  ['3f2a9c1b7d4e_sealpost_policy_2.sealpost_default', '3f2a9c1b7d4e-sealpost-policy-2'],
  ['postbox.sealpost_default', 'postbox'],
  ['sealpost.sealpost_default', 'sealpost'],
  ['sealpost_policy_2.front', 'sealpost-policy-2'],
  ['edge.one.net', 'edge-one'],
  [`${'x'.repeat(64)}.net`, undefined],
  ['-.net', undefined],
  ['', undefined],
] as const) {
  test(`what Docker calls ${answer || 'nothing'} is ${name ?? 'not known'}`, () => assert.equal(nameOf(answer), name));
}

test('a host name that was chosen stays: a queue belongs to it', () => {
  process.env['HOSTNAME'] = 'router-1';
  assert.equal(containerName(), 'router-1');
});

test('without an answer the name is the id of the container, and without a host name there is none', async () => {
  const config = async () =>
    parseConfig('node: { name: { container: true } }\n', '/', { files: false, only: ['node'] });
  process.env['HOSTNAME'] = '3f2a9c1b7d4e';
  const loaded = await config();
  assert.equal(loaded.ok && loaded.config.node.name, '3f2a9c1b7d4e');
  delete process.env['HOSTNAME'];
  const refused = await config();
  assert.match(JSON.stringify(refused), /found nothing in environment variable HOSTNAME/);
});
