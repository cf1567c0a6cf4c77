import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { specifiers, target } from '#test/kit/source-tree.ts';

/** Which room of the router may see which: the layers that the head of service.ts names. */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SEES: Record<string, string[]> = {
  store: [],
  rules: ['store'],
  receipts: ['store'],
  delivery: [],
  'received-reports': ['store', 'delivery'],
  pacing: ['delivery'],
  notices: ['store', 'receipts', 'delivery'],
  webhooks: ['store'],
  queue: ['store', 'receipts', 'delivery', 'pacing', 'notices', 'directives', 'webhooks'],
  intake: ['store', 'receipts', 'rules'],
  backup: ['store', 'copies'],
  copies: ['store', 'receipts', 'queue', 'intake'],
  gossip: [],
  directives: ['store', 'delivery', 'gossip'],
  'tls-memory': ['store', 'delivery', 'gossip'],
  operators: ['store', 'receipts', 'delivery', 'queue', 'pacing', 'directives'],
  'sent-reports': ['store', 'receipts', 'delivery', 'queue', 'notices', 'copies'],
};

test('imports between the rooms run down', () => {
  const files = globSync('services/router/*/**/*.ts', { cwd: ROOT });
  const broken = files.flatMap((file) =>
    specifiers(readFileSync(`${ROOT}${file}`, 'utf8')).flatMap((specifier) => {
      const [, service, room = '', inside] = target(file, specifier)?.split('/') ?? [];
      const from = file.split('/')[2] ?? '';
      if (service !== 'router' || inside === undefined || room === from) return [];
      return SEES[from]?.includes(room) === true ? [] : [`${file} imports ${specifier}`];
    }),
  );
  assert.ok(files.length > 50);
  assert.deepEqual(broken, []);
});
