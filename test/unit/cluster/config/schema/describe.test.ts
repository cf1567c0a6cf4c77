import assert from 'node:assert/strict';
import { test } from 'node:test';
import { effective, listOptions } from '#cluster/config/schema/describe.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';

test('every option has an explanation and a type', () => {
  for (const option of listOptions()) {
    assert.notEqual(option.explanation, '', `${option.path} is not explained`);
    assert.notEqual(option.type, 'any', `${option.path} has no type`);
  }
});

test('options are listed with their paths and defaults', () => {
  const options = new Map(listOptions().map((o) => [o.path, o]));
  assert.equal(options.get('queue.expire')?.default, '"5d"');
  assert.equal(options.get('listeners[].port')?.default, 'required');
  assert.equal(options.get('routes[].password')?.type, 'secret');
  assert.match(options.get('queue.retry.first')?.type ?? '', /^duration \(.*5m/);
  assert.match(options.get('queue.reserve')?.type ?? '', /^size \(.*MB/);
  assert.equal(options.get('relay.allow.hosts')?.type, 'list of text');
  assert.equal(options.get('routes[].via')?.default, 'required');
  assert.equal(options.get('routes[].via[].password')?.type, 'secret');
});

test('the effective configuration has every default and no secret', () => {
  const shown = effective({
    bus: { servers: ['nats://h:1'], user: 'a', password: 'hunter2' },
    routes: [
      { to: '*', via: 'smtp://me@h', tls: 'required', password: { file: './p' } },
      { to: 'a.example', via: ['smtp://h', { hop: 'smtp://me@i', password: 'hunter2' }] },
    ],
    domains: [{ name: 'example.com' }],
    dns: { zones: [{ name: 'example.com', update: { server: '127.0.0.1', key: 'edge', secret: 'hunter2' } }] },
  });
  assert.doesNotMatch(JSON.stringify(shown), /hunter2/);
  const config = shown as { [key: string]: Record<string, unknown> & unknown[] };
  assert.equal(config['bus']?.['password'], '[secret]');
  assert.deepEqual(config['routes']?.[0], { to: '*', via: 'smtp://me@h', password: { file: './p' }, tls: 'required' });
  assert.deepEqual(config['routes']?.[1], {
    to: 'a.example',
    via: ['smtp://h', { hop: 'smtp://me@i', password: '[secret]' }],
    tls: 'opportunistic',
  });
  assert.deepEqual(config['domains']?.[0], {
    name: 'example.com',
    local: false,
    'tls-header': false,
    signing: { mode: 'best-effort' },
    keys: { proof: 'dns' },
  });
  assert.equal(config['queue']?.['expire'], '5d');
  const update = { server: '127.0.0.1', key: 'edge', algorithm: 'hmac-sha256', secret: '[secret]' };
  assert.deepEqual(config['dns']?.['zones'], [{ name: 'example.com', servers: [], update }]);
});

test('the effective form of a configuration means the same as the configuration', () => {
  const written = {
    domains: [{ name: 'example.com' }],
    limits: { timeout: '90s' },
    relay: { allow: { hosts: ['::1'] } },
  };
  assert.deepEqual(ConfigSchema.parse(effective(written)), ConfigSchema.parse(written));
  assert.deepEqual(ConfigSchema.parse(effective({})), ConfigSchema.parse({}));
});
