import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { RouterSite, type SiteRouter } from '#test/integration/router/copies/router-site.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, messageOf, OK, ORIGIN } from '#test/unit/router/fixture.ts';
import { found } from '#test/unit/router/sent-reports/dmarc/found.ts';
import { type Arrived, dnsOf, reportsOf, sumOf, textOf } from './reports-site.ts';

/** A day of three routers, compressed: the test moves their clock. */

const DAY = 86_400_000;
const MORNING = Date.UTC(2030, 4, 1, 8);

class Cluster implements AsyncDisposable {
  readonly #site: RouterSite;
  readonly #log = logLines();
  readonly routers = new Map<string, SiteRouter>();
  now = MORNING;

  constructor(site: RouterSite) {
    this.#site = site;
  }

  async start(...names: string[]): Promise<void> {
    for (const name of names) {
      const reports = { now: () => this.now, resolve: dnsOf({}) };
      this.routers.set(name, await this.#site.router(name, { queue: { copies: 1 }, reports, log: this.#log.log }));
    }
  }

  /** It is gone at once, with its disk. */
  async kill(name: string): Promise<void> {
    const router = this.routers.get(name);
    this.routers.delete(name);
    router?.cable.cut();
    await router?.[Symbol.asyncDispose]();
  }

  /** Receive and deliver messages in the name of a domain. */
  async receive(name: string, domain: string, count: number, more: Parameters<typeof found>[1] = {}): Promise<void> {
    const { router } = this.routers.get(name) ?? {};
    if (router === undefined) throw new Error(`no ${name}`);
    for (let n = 0; n < count; n++) {
      const mail = {
        envelope: envelope(['bob@peer.example'], { reversePath: `a@${domain}` }),
        message: messageOf(500),
      };
      await router.send({ ...mail, authenticity: found(domain, more) });
      await (await router.delivery.next()).end('delivered', OK);
    }
  }

  /** It is the next day: all reports that the routers send. */
  async tomorrow(): Promise<Arrived[]> {
    this.now += DAY;
    const day = new Date(this.now - DAY).toISOString().slice(0, 10);
    const lines = (text: string): LogLine[] =>
      this.#log.lines().filter((line) => line.msg === text && line['day'] === day);
    await waitFor(() => lines('all DMARC reports of the day are sent').length > 0, {
      what: 'the reports',
      timeout: 20_000,
    });
    assert.equal(lines('this router sends the DMARC reports').length, 1);
    const all: Arrived[] = [];
    for (const router of this.routers.values()) all.push(...(await reportsOf(router)));
    return all.toSorted((a, b) => (a.file < b.file ? -1 : 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.routers.keys()]) await this.kill(name);
    await this.#site[Symbol.asyncDispose]();
  }
}

async function cluster(...names: string[]): Promise<Cluster> {
  const cluster = new Cluster(await RouterSite.start());
  await cluster.start(...names);
  return cluster;
}

const OPTIONS = { ...needs('nats-server', 'xmllint'), timeout: 60_000 };

describe('DMARC aggregate reports', OPTIONS, () => {
  test('three nodes send one report a domain, with the rows of all', needs('dmarc-cat'), async () => {
    await using site = await cluster('a', 'b', 'c');
    await site.receive('a', 'one.example', 3);
    await site.receive('b', 'one.example', 2);
    await site.receive('c', 'one.example', 4, { result: 'fail', dkimAligned: false, spfAligned: false });
    await site.receive('c', 'two.example', 1);
    const reports = await site.tomorrow();
    assert.deepEqual(
      reports.map(({ to, xml }) => ({ to, sum: sumOf(xml) })),
      [
        { to: ['dmarc@one.example'], sum: 9 },
        { to: ['dmarc@two.example'], sum: 1 },
      ],
    );
    const [{ xml, header, file } = assert.fail()] = reports;
    const begin = Date.UTC(2030, 4, 1) / 1000;
    const id = textOf(xml, 'report_id');
    assert.equal(file, `sealpost.test!one.example!${begin}!${begin + 86_399}!${id}.xml.gz`);
    assert.match(header, new RegExp(`Subject: Report Domain: one.example Submitter: sealpost.test Report-ID: <${id}>`));
    assert.match(header, /From: <postmaster@sealpost.test>/);
    // A parser of others.
    await using folder = await tempDir('dmarc-cat');
    writeFileSync(join(folder.path, file.replace('.gz', '')), xml);
    const read = execFileSync('dmarc-cat', ['-N', join(folder.path, file.replace('.gz', ''))], { encoding: 'utf8' });
    assert.match(read, /one\.example/);
    assert.match(read, /192\.0\.2\.9\s+5\b/);
    assert.match(read, /192\.0\.2\.9\s+4\b/);
  });

  test('rows of a node that is away at midnight come later, in a report of their own, and only these', async () => {
    await using site = await cluster('a', 'b', 'c');
    for (const name of ['a', 'b', 'c']) await site.receive(name, 'one.example', 2);
    await site.kill('c');
    const [first, ...more] = await site.tomorrow();
    assert.deepEqual(more, []);
    assert.equal(sumOf(first?.xml ?? ''), 4);
    await site.start('c');
    await site.receive('a', 'one.example', 1);
    const reports = await site.tomorrow();
    const begins = reports.map(({ xml }) => [Number(textOf(xml, 'begin')) * 1000, sumOf(xml)]);
    assert.deepEqual(begins, [
      [Date.UTC(2030, 4, 1), 2],
      [Date.UTC(2030, 4, 2), 1],
    ]);
    const ids = new Set([first, ...reports].map((report) => textOf(report?.xml ?? '', 'report_id')));
    assert.equal(ids.size, 3);
  });

  test('a message that is refused for DMARC is counted, one whose transfer is given up is not', async () => {
    await using site = await cluster('a');
    const { router } = site.routers.get('a') ?? assert.fail();
    const { handlers } = router.service;
    const mail = { envelope: envelope(['bob@peer.example']), origin: ORIGIN };
    const refused = found('one.example', { result: 'fail', dkimAligned: false, spfAligned: false });
    for (const authenticity of [refused, undefined]) {
      const { transfer } = await handlers['transfer-open'](mail, router.context());
      await handlers['transfer-abort']({ transfer, authenticity }, router.context());
      // A second time it is not there any more.
      await handlers['transfer-abort']({ transfer, authenticity }, router.context());
    }
    const [{ xml } = assert.fail(), ...more] = await site.tomorrow();
    assert.deepEqual(more, []);
    assert.equal(sumOf(xml), 1);
    assert.match(xml, /<disposition>reject<\/disposition>\s*<dkim>fail<\/dkim>\s*<spf>fail<\/spf>/);
  });
});
