import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { relayWarnings } from '#cluster/config/rules/relay.ts';
import { relaySection } from '#cluster/config/schema/relay.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

for (const file of ['cluster/compose/sealpost.yaml', 'cluster/hosts/sealpost.yaml']) {
  test(`${file} lets nobody relay without a password: no network of containers, no gateway, no proxy`, () => {
    const { relay, listeners } = parse(read(file)) as { relay?: unknown; listeners: { proxy?: string[] }[] };
    const rules = relaySection.parse(relay);
    assert.deepEqual([rules.scope, rules.allow.hosts, rules.exclude, rules.internal.hosts], ['all', [], [], []]);
    assert.deepEqual(relayWarnings({ relay: rules }), []);
    for (const { proxy = [] } of listeners) assert.deepEqual(proxy, []);
  });
}

test('compose publishes its ports on loopback until somebody says otherwise, and HAProxy names itself to listeners', () => {
  const published = [
    ...`${read('compose.yaml')}${read('cluster/compose/haproxy.yaml')}`.matchAll(
      /\$\{\w*(?:PORTS|HAPROXY_(?:MX|SUB)\w*):-([^}]*)\}/g,
    ),
  ];
  assert.ok(published.length >= 7, `${published.length} ports`);
  for (const [, address = ''] of published) assert.match(address, /^127\.0\.0\.1:/);
  assert.match(read('cluster/compose/haproxy.cfg'), /^ +default-server .* send-proxy$/m);
});
