import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { tempDir } from '#test/kit/temp.ts';
import { startNode } from '#test/unit/credential-store/fixture.ts';

const NAME = '_smtp._tls.manual.test';
const record = (rua: string) => ({
  kind: 'tls-rpt' as const,
  domain: 'manual.test',
  rua: [`mailto:${rua}@manual.test`],
});
const value = (rua: string): string => `v=TLSRPTv1; rua=mailto:${rua}@manual.test;`;

test('a record of ours is known as ours, though no name server answered while it was changed', async () => {
  await using folder = await tempDir('tls-records');
  const zone: { away: boolean; texts: string[] } = { away: false, texts: [] };
  await using dns = await FakeDns.start((query) => {
    if (zone.away) return answerTo(query, { rcode: 2 });
    return answerTo(query, { answers: zone.texts.map((text) => txt(NAME, text)) });
  });
  const zones = [{ name: 'manual.test', servers: [dns.server] }];
  await using node = await startNode(folder.path, { config: { dns: { timeout: '1s', zones } } });
  const publish = (rua: string) =>
    node.calls['tls-record-publish']({ record: record(rua), write: true, replace: false });
  await publish('first');
  zone.texts = [value('first')];
  assert.equal((await publish('first')).state, 'published');

  zone.away = true;
  assert.equal((await publish('second')).state, 'due');
  zone.away = false;
  const { obsolete, others, state } = await publish('second');
  assert.deepEqual([state, obsolete, others], ['due', [value('first')], []]);

  zone.texts = [value('second')];
  const after = await publish('second');
  assert.deepEqual([after.state, after.obsolete], ['published', []]);
  // It is not ours any more: somebody else made this one.
  zone.texts = [value('first')];
  assert.deepEqual((await publish('second')).others, [value('first')]);
});
