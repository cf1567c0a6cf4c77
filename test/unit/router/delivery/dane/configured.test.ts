import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isExcepted, warnOfNoEffect } from '#services/router/delivery/dane/configured.ts';
import { Type } from '#shared/dns/message.ts';
import { answerTo, FakeDns, type Handler, pointer } from '#test/kit/dns/fake-dns.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { testSettings } from '#test/unit/router/delivery/fixtures.ts';

const except = [{ domain: 'D.test', until: '2030-06-30' }];

test('an exception counts for its domain alone, to the end of its last day', () => {
  const { current } = testSettings({ delivery: { dane: { except } } });
  const at = (domain: string, time: string) => isExcepted(current, domain, Date.parse(time));
  assert.equal(at('d.test', '2030-06-30T23:59:59Z'), true);
  assert.equal(at('d.test', '2030-07-01T00:00:00Z'), false);
  assert.equal(at('sub.d.test', '2030-06-01T00:00:00Z'), false);
});

/** The root zone, with AD where the resolver says that it is proven. */
const root =
  (proven: boolean): Handler =>
  (query) => {
    const bytes = answerTo(query, { answers: [pointer(Type.NS, '', 'a.root-servers.test')] });
    if (proven) bytes.writeUInt16BE(bytes.readUInt16BE(2) | 0x20, 2);
    return bytes;
  };

/** What the log says about a configuration. */
async function warnings(
  handler: Handler,
  config: { dnssec: boolean; until?: string; others?: string[] },
): Promise<string[]> {
  await using dns = await FakeDns.start(handler);
  const servers = [...(config.others ?? []), dns.server];
  const settings = testSettings({
    dns: { servers, timeout: '200ms', dnssec: config.dnssec },
    delivery: { dane: { except: config.until === undefined ? [] : [{ domain: 'd.test', until: config.until }] } },
  });
  const { log, lines } = logLines();
  await warnOfNoEffect(settings.current, log);
  return lines().map(({ msg }) => msg.replace(/[:,].*/, ''));
}

test('a resolver that is trusted to validate, and does not, is named in the log', async () => {
  assert.deepEqual(await warnings(root(false), { dnssec: true }), ['dns.dnssec is set']);
  assert.deepEqual(await warnings(root(true), { dnssec: true }), []);
  assert.deepEqual(await warnings(root(false), { dnssec: false }), []);
  assert.deepEqual(await warnings(() => undefined, { dnssec: true }), [], 'a silent one shows elsewhere');
});

test('a second resolver that does not validate is named too: it would turn DANE off when it is asked', async () => {
  await using first = await FakeDns.start(root(true));
  assert.deepEqual(await warnings(root(false), { dnssec: true, others: [first.server] }), ['dns.dnssec is set']);
});

test('an exception that has ended is named in the log', async () => {
  const ended = ['an exception from DANE has ended and is not applied'];
  assert.deepEqual(await warnings(root(true), { dnssec: true, until: '2020-12-31' }), ended);
  assert.deepEqual(await warnings(root(true), { dnssec: true, until: '2999-12-31' }), []);
});
