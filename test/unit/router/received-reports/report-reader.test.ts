import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Store } from '#cluster/store.ts';
import type { RecipientResult } from '#services/router/delivery/job.ts';
import { openReceivedReports, ReportReader } from '#services/router/received-reports/report-reader.ts';
import { Space } from '#services/router/store/space.ts';
import { silentLogger } from '#shared/log.ts';
import type { ReportPart } from '#shared/mail/reports/dmarc-report.ts';
import { reportMail, reportXml, type SentReport } from '#test/kit/dmarc/reports.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, FakeDelivery, OK, settingsFor, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail to the addresses for DMARC reports, from its commit to what the router tells of the reports. */

const CONFIG = {
  domains: [{ name: 'example.com', local: true }],
  authenticity: { dmarc: { reports: { receive: ['DMARC@example.com'] } } },
  routes: [{ to: '*', via: 'capture' }],
};
const TO = envelope(['dmarc@example.com']);
const CAPTURE = { key: 'capture', spec: { kind: 'capture', folder: '/nowhere' }, tls: 'off' } as const;
const HOP = { ...CAPTURE, key: 'reports', reports: CAPTURE };
const DAY_MS = 86_400_000;

async function start(folder: string, log = silentLogger) {
  const router = await TestRouter.start(folder, { config: CONFIG, log });
  const list = async (request: { domain?: string; since?: number } = {}): Promise<ReportPart[]> => {
    const parts: ReportPart[] = [];
    let after: string | undefined;
    do {
      const handler = router.service.handlers['dmarc-report-list'];
      const page = await handler({ ...request, ...(after !== undefined && { after }) }, router.context());
      parts.push(...page.parts);
      after = page.next;
    } while (after !== undefined);
    return parts;
  };
  const finished = (queueId: string) =>
    waitFor(async () => (await router.show(queueId)).finished, { what: `the end of ${queueId}` });
  const send = (report: SentReport, to = TO): Promise<string> =>
    router.send({ envelope: to, message: reportMail(reportXml(report)) });
  return { router, list, finished, send, [Symbol.asyncDispose]: () => router.stop() };
}

test('a report ends here, is there after a restart, and counts once however often it comes', async () => {
  await using folder = await tempDir();
  const rows = [{ source: '192.0.2.1', count: 7 }];
  {
    await using node = await start(folder.path);
    for (const report of [{ rows }, { rows }, { rows, id: 'another' }]) {
      const queueId = await node.send(report);
      await node.finished(queueId);
      const { entry } = await node.router.show(queueId);
      const [recipient] = entry.recipients;
      assert.equal(recipient?.status.state, 'delivered');
    }
    assert.equal(node.router.delivery.jobs.length, 0, 'nothing went on');
  }
  await using node = await start(folder.path);
  const parts = await node.list();
  assert.deepEqual(parts.map(({ head }) => head.id).toSorted(), ['1@receiver.example', 'another']);
  assert.deepEqual(parts[0]?.rows, [
    { source: '192.0.2.1', count: 7, disposition: 'none', dkim: true, spf: true, from: 'example.com' },
  ]);
  assert.equal(parts[0].head.messages, 7);
  await node.finished(await node.send({ rows }));
  assert.equal((await node.list()).length, 2);
});

test('what cannot be read goes on like other mail, and the log says why; others in it are not concerned', async () => {
  await using folder = await tempDir();
  const { log, lines } = logLines();
  await using node = await start(folder.path, log);
  const queueId = await node.router.send({ envelope: envelope(['dmarc@example.com', 'alice@example.com']) });
  const jobs = [await node.router.delivery.next(), await node.router.delivery.next()];
  assert.deepEqual(jobs.flatMap(({ to }) => to).toSorted(), ['alice@example.com', 'dmarc@example.com']);
  for (const job of jobs) {
    assert.match(await job.content(), /^Received: .*\r\nFrom: <alice@sender.example>/);
    await job.end('delivered', OK);
  }
  await node.finished(queueId);
  const line = await waitFor(() => lines().find(({ msg }) => msg.includes('not read as one')), { what: 'the line' });
  assert.equal(line['queueId'], queueId);
  assert.match(String(line['reason']), /no attachment/);
  assert.deepEqual(await node.list(), []);
});

test('a report that is not about us, or not about lately, goes on', async () => {
  await using folder = await tempDir();
  await using node = await start(folder.path);
  const now = Date.now();
  for (const report of [
    { domain: 'example.net' },
    { domain: 'notexample.com' },
    { end: now + 3 * DAY_MS },
    { end: now - 100 * DAY_MS },
  ]) {
    await node.send(report);
    await (await node.router.delivery.next(JSON.stringify(report))).end('delivered', OK);
  }
  await node.finished(await node.send({ domain: 'News.Example.COM.' }));
  assert.equal((await node.list())[0]?.head.domain, 'news.example.com');
});

test('mail is known by the address that it was sent to, and by the one that this stands for', async () => {
  await using folder = await tempDir();
  await using node = await start(folder.path);
  const to = envelope([
    { address: 'alice@example.com', original: 'dmarc@example.com' },
    { address: 'bob@example.com' },
  ]);
  await node.send({}, to);
  const job = await node.router.delivery.next();
  assert.deepEqual(job.to, ['bob@example.com']);
  await job.end('delivered', OK);
  await waitFor(async () => (await node.list()).length === 1, { what: 'the report' });
  const alias = envelope([{ address: 'dmarc@example.com', original: 'reports@other.example' }]);
  await node.finished(await node.send({ id: 'another' }, alias));
  assert.equal((await node.list()).length, 2);
});

test('reports come in pages, by domain and time', async () => {
  await using folder = await tempDir();
  await using node = await start(folder.path);
  const now = Date.now();
  const rows = Array.from({ length: 1700 }, (_, n) => ({ source: `10.0.${n >> 8}.${n & 255}`, count: 1 }));
  const ids = ['a', 'b', 'c'];
  for (const id of ids) await node.send({ id, rows });
  await node.send({ id: 'd', domain: 'sub.example.com', end: now - 10 * DAY_MS });
  await waitFor(async () => new Set((await node.list()).map(({ key }) => key)).size === 4, { what: 'all' });
  const parts = await node.list({ domain: 'example.com', since: now - DAY_MS });
  for (const id of ids) {
    const own = parts.filter(({ head }) => head.id === id);
    assert.deepEqual(
      own.map(({ part }) => part),
      [0, 1, 2, 3],
    );
    assert.equal(new Set(own.flatMap((part) => part.rows.map(({ source }) => source))).size, 1700);
  }
  assert.equal(parts.length, 12);
  assert.deepEqual(
    (await node.list({ domain: 'sub.example.com' })).map(({ head }) => head.id),
    ['d'],
  );
  assert.deepEqual(await node.list({ domain: 'ample.com' }), []);
});

test('while the disk has no room, and while the router stops, a report waits', async () => {
  await using folder = await tempDir();
  const settings = settingsFor(folder.path, CONFIG);
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const delivery = new FakeDelivery();
  const reports = openReceivedReports(store, silentLogger);
  const space = new Space(folder.path, () => Number.MAX_SAFE_INTEGER);
  const reader = new ReportReader({ settings, log: silentLogger, reports, space }, delivery);
  const results: RecipientResult[] = [];
  const job = {
    ...{ queueId: 'Q', trace: 'T', reversePath: '', size: 1, eightBitBody: false, smtpUtf8: false, junk: false },
    ...{ ret: undefined, envid: undefined, recipients: [{ index: 0, recipient: { address: 'dmarc@example.com' } }] },
    open: async () => ({ ok: true, size: 1, read: () => [reportMail(reportXml())] }) as const,
    finish: async (some: RecipientResult[]) => void results.push(...some),
  };
  reader.submit(HOP, job);
  await waitFor(() => results.length === 1, { what: 'the end of the attempt' });
  reader.submit(HOP, job);
  reader.submit(HOP, job);
  await reader.stop();
  assert.equal(results.length, 3);
  for (const { state, local } of results) assert.deepEqual({ state, local }, { state: 'deferred', local: true });
  assert.match(results[0]?.outcome.reply.text ?? '', /free space is below queue.reserve/);
  assert.match(results[2]?.outcome.reply.text ?? '', /delivery stops/);
  assert.deepEqual((await reports.dmarc.page({})).parts, []);
  assert.ok(delivery.stopped);
});

test('a TLS report at either kind of address ends here too, one for each domain, and is no DMARC report', async () => {
  await using folder = await tempDir();
  const receive = { 'tls-reports': { receive: ['tls@example.com'] } };
  await using router = await TestRouter.start(folder.path, { config: { ...CONFIG, delivery: receive } });
  const now = Date.now();
  const policy = (domain: string) => ({
    policy: { 'policy-type': 'tlsa', 'policy-domain': domain },
    summary: { 'total-successful-session-count': 4, 'total-failure-session-count': 0 },
  });
  const send = (to: string, id: string, ...domains: string[]): Promise<string> => {
    const json = JSON.stringify({
      ...{ 'organization-name': 'Receiver', 'contact-info': 'tls@receiver.example', 'report-id': id },
      'date-range': {
        'start-datetime': new Date(now - DAY_MS).toISOString(),
        'end-datetime': new Date(now).toISOString(),
      },
      policies: domains.map(policy),
    });
    const part = [
      'Content-Type: multipart/report; report-type="tlsrpt"; boundary=b\r\n\r\n--b',
      'Content-Type: text/plain\r\n\r\nA report.\r\n--b',
      'Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n',
      `${gzipSync(json).toString('base64')}\r\n--b--\r\n`,
    ].join('\r\n');
    return router.send({ envelope: envelope([to]), message: Buffer.from(part) });
  };
  const ended = (queueId: string) =>
    waitFor(async () => (await router.show(queueId)).finished, { what: `the end of ${queueId}` });
  await ended(await send('tls@example.com', '1', 'example.com', 'news.example.com'));
  await ended(await send('dmarc@example.com', '2', 'example.com'));
  await ended(await send('dmarc@example.com', '2', 'example.com'));
  const list = async (operation: 'tls-report-list' | 'dmarc-report-list', request: { domain?: string } = {}) =>
    (await router.service.handlers[operation](request, router.context())).parts;
  const found = await list('tls-report-list');
  assert.deepEqual(found.map(({ head, rows }) => [head.id, head.domain, head.messages, rows]).toSorted(), [
    ['1', 'example.com', 4, [{ policy: 'tlsa', count: 4 }]],
    ['1', 'news.example.com', 4, [{ policy: 'tlsa', count: 4 }]],
    ['2', 'example.com', 4, [{ policy: 'tlsa', count: 4 }]],
  ]);
  assert.equal((await list('tls-report-list', { domain: 'news.example.com' })).length, 1);
  assert.deepEqual(await list('dmarc-report-list'), []);
  // What an operator is shown stays short.
  const queueId = await send('tls@example.com', '4', ...Array.from({ length: 50 }, (_, n) => `d${n}.example.com`));
  await ended(queueId);
  const { status } = (await router.show(queueId)).entry.recipients[0] ?? assert.fail();
  const text = status.state === 'delivered' ? status.outcome.reply.text : '';
  assert.match(text, /^TLS report 4 of Receiver about d0\.example\.com kept; .*…$/);
  assert.ok(text.length <= 501, text);
  // About somebody else: it goes on, with all that is in it.
  await send('tls@example.com', '3', 'example.com', 'example.net');
  await (await router.delivery.next()).end('delivered', OK);
  assert.equal((await list('tls-report-list')).length, 53);
});
