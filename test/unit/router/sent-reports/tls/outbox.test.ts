import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Store } from '#cluster/store.ts';
import type { Resolve } from '#services/router/sent-reports/destinations.ts';
import { Outbox } from '#services/router/sent-reports/tls/outbox.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { ReportTaker } from '#test/kit/tls-reports/report-taker.ts';
import { waitFor } from '#test/kit/wait.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

const LOCAL = { 'allow-local': ['127.0.0.0/8'] };
const resolve: Resolve = async (name, type) => {
  if (name === 'reports.one.example' && type === 'A') return ['127.0.0.1'];
  throw Object.assign(new Error(`no ${name}`), { code: 'ENODATA' });
};

class Site implements AsyncDisposable {
  readonly #undo = new AsyncDisposableStack();
  readonly #log = logLines();
  readonly store: Store;
  readonly taker: ReportTaker;

  private constructor(store: Store, taker: ReportTaker) {
    this.store = store;
    this.taker = taker;
  }

  static async start(): Promise<Site> {
    const folder = await tempDir('outbox');
    const store = await Store.open(folder.path, silentLogger);
    const site = new Site(store, await ReportTaker.start());
    site.#undo.use(folder);
    site.#undo.defer(() => store.close());
    site.#undo.use(site.taker);
    return site;
  }

  async outbox(delivery: object = LOCAL): Promise<Outbox> {
    const settings = settingsFor('/nowhere', { delivery });
    const deps = { settings, log: this.#log.log, store: this.store, resolve, firstWaitMs: 20 };
    const outbox = await Outbox.load(deps);
    outbox.begin();
    return outbox;
  }

  get url(): string {
    return `https://reports.one.example:${this.taker.port}/v1/tls?a=b`;
  }

  async put(outbox: Outbox): Promise<void> {
    const given = { url: this.url, domain: 'one.example', report: 'r1', gzip: gzipSync('{"a":1}') };
    const { key, operation } = outbox.writing('r1!0', given);
    await this.store.write([operation]);
    outbox.written(key);
  }

  lines(text: string): LogLine[] {
    return this.#log.lines().filter(({ msg }) => msg === text);
  }

  async left(): Promise<string[]> {
    const left: string[] = [];
    for await (const key of this.store.keys({ gte: 'tls-post!', lt: 'tls-post"' })) left.push(key);
    return left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

test('a report is posted once, whatever the certificate of its reader is', async () => {
  await using site = await Site.start();
  const outbox = await site.outbox();
  await site.put(outbox);
  await waitFor(async () => (await site.left()).length === 0, { what: 'the post to be done' });
  const expected = {
    ...{ method: 'POST', path: '/v1/tls?a=b', host: `reports.one.example:${site.taker.port}` },
    ...{ type: 'application/tlsrpt+gzip', json: '{"a":1}' },
  };
  assert.deepEqual(site.taker.posts, [expected]);
  assert.equal(site.lines('TLS report posted').length, 1);
  await outbox.stop();
});

test('it is tried again when it was not taken, and after a start; a redirect is not followed', async () => {
  await using site = await Site.start();
  const outbox = await site.outbox();
  site.taker.answer = () => ({ status: 307, location: '/elsewhere' });
  await site.put(outbox);
  await waitFor(() => site.taker.posts.length >= 2, { what: 'the second attempt' });
  await outbox.stop();
  assert.deepEqual(await site.left(), [keys.tlsPost('r1!0')]);
  assert.match(String(site.lines('TLS report not posted yet')[0]?.['error']), /it answers 307/);
  site.taker.answer = () => ({ status: 204 });
  const next = await site.outbox();
  await waitFor(async () => (await site.left()).length === 0, { what: 'the post to be done' });
  assert.deepEqual(new Set(site.taker.posts.map(({ path }) => path)), new Set(['/v1/tls?a=b']));
  await next.stop();
});

test('a host that switches protocols has not taken it, and holds nothing up', async () => {
  await using site = await Site.start();
  site.taker.answer = () => ({ status: 101 });
  const outbox = await site.outbox();
  await site.put(outbox);
  await waitFor(() => site.taker.posts.length >= 2, { what: 'the second attempt' });
  assert.match(String(site.lines('TLS report not posted yet')[0]?.['error']), /it answers 101/);
  await outbox.stop();
});

test('after a day it is given up', async () => {
  await using site = await Site.start();
  site.taker.answer = () => ({ status: 503 });
  const record = { url: site.url, domain: 'one.example', report: 'r1', until: Date.now() - 1, gzip: '' };
  const gzip = gzipSync('{}').toString('base64');
  await site.store.write([putJson(keys.tlsPost('r1!0'), { ...record, gzip })]);
  const outbox = await site.outbox();
  await waitFor(async () => (await site.left()).length === 0, { what: 'the end' });
  assert.equal(site.taker.posts.length, 1);
  assert.equal(site.lines('TLS report given up: it could not be posted in a day').length, 1);
  await outbox.stop();
});

test('no stranger makes this node post into its own networks', async () => {
  await using site = await Site.start();
  const outbox = await site.outbox({});
  await site.put(outbox);
  const [line] = await waitFor(
    () => site.lines('TLS report not posted yet').length > 0 && site.lines('TLS report not posted yet'),
    { what: 'the attempt' },
  );
  assert.match(String(line?.['error']), /reports\.one\.example is not in the public Internet: 127\.0\.0\.1/);
  assert.equal(site.taker.posts.length, 0);
  await outbox.stop();
});
