import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clamd } from '#test/kit/filters/clamd.ts';
import { Rspamd } from '#test/kit/filters/rspamd.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** What `sealpost doctor` says of the filters of a node. */

type Report = { findings: { check: string; severity: string; about: string; text: string }[] };

async function away(node: SealpostNode): Promise<string[]> {
  const said = await node.report('doctor', '--json');
  const { findings } = JSON.parse(said) as Report;
  return findings
    .filter(({ check }) => check === 'filter-away')
    .map(
      ({ severity, about, text }) =>
        `${severity}: ${about} ${text.replace(/^(.*) at .*(ECONNREFUSED|ENOENT).*?\)/, '$1 ($2)')}`,
    );
}

test('doctor names the filters that are away, until they are back', needs('rspamd', 'clamd'), async () => {
  await using rspamd = await Rspamd.start();
  await using clamd = await Clamd.start();
  const config = [
    'filters:',
    `  - { name: spam, type: rspamd, url: "${rspamd.url}" }`,
    `  - { name: virus, type: clamd, url: "${clamd.url}", on-trouble: accept }`,
    `  - { name: proxy, type: milter, url: "tcp://127.0.0.1:${rspamd.milterPort}" }`,
  ].join('\n');
  await using node = await SealpostNode.create({ config });
  await node.start();
  assert.deepEqual(await away(node), []);

  await clamd.stop();
  const virus =
    'warning: node edge-1 cannot ask mail filter virus (ECONNREFUSED): mail that it is to see passes, with a mark';
  assert.deepEqual(await away(node), [virus]);
  await rspamd.stop();
  const deferred = 'mail that it is to see is deferred';
  assert.deepEqual(await away(node), [
    `error: node edge-1 cannot ask mail filter spam (ECONNREFUSED): ${deferred}`,
    `error: node edge-1 cannot ask mail filter proxy (ECONNREFUSED): ${deferred}`,
    virus,
  ]);

  await Promise.all([rspamd.restart(), clamd.restart()]);
  assert.deepEqual(await away(node), []);
});
