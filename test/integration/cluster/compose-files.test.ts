import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What the containers of others are configured with, judged by these programs themselves. */

const ROOT = resolve(import.meta.dirname, '../../..');

/** A file of this repository with other places, in a folder of its own. */
async function moved(file: string, folder: string, changes: readonly [from: string, to: string][]): Promise<string> {
  let text = await readFile(join(ROOT, file), 'utf8');
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  const copy = join(folder, file.replaceAll('/', '-'));
  await writeFile(copy, text);
  return copy;
}

test('Prometheus takes its configuration with the alert rules', needs('promtool'), async () => {
  await using dir = await tempDir();
  const token = join(dir.path, 'token');
  await writeFile(token, 'secret\n');
  const config = await moved('cluster/monitoring/prometheus.yaml', dir.path, [
    ['/etc/prometheus/alerts.yaml', join(ROOT, 'cluster/monitoring/alerts.yaml')],
    ['/run/secrets/metrics-token', token],
  ]);
  await using promtool = new Program('promtool', ['check', 'config', config]);
  assert.equal(await promtool.ended(), 0, promtool.output);
  assert.match(promtool.output, /SUCCESS: \d+ rules found/);
});

test('unbound takes the configuration of the resolver', needs('unbound'), async () => {
  await using dir = await tempDir();
  const config = await moved('cluster/compose/resolver/unbound.conf', dir.path, [
    ['/var/lib/unbound', dir.path],
    ['/run/unbound', dir.path],
  ]);
  await writeFile(
    join(dir.path, 'root.key'),
    '. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n',
  );
  await using check = new Program('unbound-checkconf', [config]);
  assert.equal(await check.ended(), 0, check.output);
});
