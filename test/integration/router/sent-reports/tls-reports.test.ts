import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { RouterSite, type SiteRouter } from '#test/integration/router/copies/router-site.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { ReportTaker } from '#test/kit/tls-reports/report-taker.ts';
import { tlsResult } from '#test/kit/tls-reports/results.ts';
import { checkAgainstSchema, VALIDATOR } from '#test/kit/tls-reports/schema.ts';
import { waitFor } from '#test/kit/wait.ts';
import { OK } from '#test/unit/router/fixture.ts';
import { dnsOf } from './reports-site.ts';

/** A day of three routers, compressed: the test moves their clock, and tells them what delivery would. */

const DAY = 86_400_000;
const MORNING = Date.UTC(2030, 4, 1, 8);

type Policy = {
  policy: { 'policy-type': string; 'policy-domain': string };
  summary: { 'total-successful-session-count': number; 'total-failure-session-count': number };
  'failure-details'?: { 'result-type': string; 'failed-session-count': number }[];
};
type Json = { 'report-id': string; 'date-range': { 'start-datetime': string }; policies: Policy[] };
type Arrived = { to: string[]; content: string; json: Json };

class Cluster implements AsyncDisposable {
  readonly #site: RouterSite;
  readonly #log = logLines();
  readonly #records: Parameters<typeof dnsOf>[0];
  readonly routers = new Map<string, SiteRouter>();
  now = MORNING;

  constructor(site: RouterSite, records: Parameters<typeof dnsOf>[0]) {
    this.#site = site;
    this.#records = records;
  }

  async start(...names: string[]): Promise<void> {
    const texts = dnsOf(this.#records);
    const resolve: typeof texts = async (name, type) =>
      name === 'reports.three.example' && type === 'A' ? ['127.0.0.1'] : await texts(name, type);
    for (const name of names) {
      const reports = { now: () => this.now, resolve };
      const config = { delivery: { 'allow-local': ['127.0.0.0/8'] } };
      const options = { queue: { copies: 1 }, config, reports, log: this.#log.log };
      this.routers.set(name, await this.#site.router(name, options));
    }
  }

  /** It is gone at once; its disk stays. */
  async kill(name: string): Promise<void> {
    const router = this.routers.get(name);
    this.routers.delete(name);
    router?.cable.cut();
    await router?.[Symbol.asyncDispose]();
  }

  /** Sessions that a router had. */
  sessions(name: string, count: number, ...result: Parameters<typeof tlsResult>): void {
    const { onTlsResult = assert.fail() } = this.routers.get(name)?.router ?? {};
    for (let n = 0; n < count; n++) onTlsResult(tlsResult(...result));
  }

  lines(text: string): LogLine[] {
    return this.#log.lines().filter((line) => line.msg === text);
  }

  /** It is the next day: all reports that the routers mail. */
  async tomorrow(): Promise<Arrived[]> {
    this.now += DAY;
    const day = new Date(this.now - DAY).toISOString().slice(0, 10);
    const ofDay = (text: string): LogLine[] => this.lines(text).filter((line) => line['day'] === day);
    await waitFor(() => ofDay('all TLS reports of the day are sent').length > 0, {
      what: 'the reports',
      timeout: 20_000,
    });
    assert.equal(ofDay('this router sends the TLS reports').length, 1);
    const all: Arrived[] = [];
    for (const { router } of this.routers.values()) {
      for (const job of router.delivery.jobs.splice(0)) {
        // RFC 8460 §3: whatever the route asks.
        assert.deepEqual(job.hop.demand, { raises: false, strict: false, requireTls: 'never', ignorePolicies: true });
        const report = { to: job.to, ...(await readMail(await job.content())) };
        // Readers at two hosts get one message in two jobs.
        const same = all.find(({ content }) => content === report.content);
        if (same === undefined) all.push(report);
        else same.to.push(...report.to);
        await job.end('delivered', OK);
      }
    }
    return all.toSorted((a, b) => (a.json['report-id'] < b.json['report-id'] ? -1 : 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.routers.keys()]) await this.kill(name);
    await this.#site[Symbol.asyncDispose]();
  }
}

async function readMail(content: string): Promise<{ content: string; json: Json }> {
  const [, part = ''] = /Content-Type: application\/tlsrpt\+gzip[\s\S]*?\r\n\r\n([\s\S]*?)\r\n--/.exec(content) ?? [];
  const text = gunzipSync(Buffer.from(part, 'base64')).toString();
  assert.equal(await checkAgainstSchema(text), '');
  return { content: content.replaceAll(/\r\n[ \t]/g, ' '), json: JSON.parse(text) as Json };
}

async function cluster(records: Parameters<typeof dnsOf>[0], ...names: string[]): Promise<Cluster> {
  const cluster = new Cluster(await RouterSite.start(), records);
  await cluster.start(...names);
  return cluster;
}

/** Of each policy: its kind, successes, failures, and how often each kind of failure. */
const sumsOf = ({ policies }: Json) =>
  policies
    .toSorted((a, b) => (a.policy['policy-type'] > b.policy['policy-type'] ? -1 : 1))
    .map(({ policy, summary, 'failure-details': details = [] }) => [
      policy['policy-type'],
      summary['total-successful-session-count'],
      summary['total-failure-session-count'],
      Object.fromEntries(details.map((detail) => [detail['result-type'], detail['failed-session-count']])),
    ]);

const NONE = { policy: { type: 'no-policy-found' as const, strings: [], mxHosts: [] } };
const OPTIONS = { ...needs('nats-server', ...VALIDATOR), timeout: 60_000 };

describe('TLS reports', OPTIONS, () => {
  test('three nodes send one report a domain that asks, with the sessions of all', async () => {
    await using taker = await ReportTaker.start();
    await using site = await cluster(
      {
        '_smtp._tls.one.example': 'v=TLSRPTv1; rua=mailto:tls@one.example',
        '_smtp._tls.two.example': 'v=TLSRPTv1; rua=mailto:tls@reader.example,mailto:tls@two.example',
        '_smtp._tls.three.example': `v=TLSRPTv1; rua=https://reports.three.example:${taker.port}/tls`,
        '_smtp._tls.four.example': 'v=TLSRPTv1;',
      },
      ...['a', 'b', 'c'],
    );
    site.sessions('a', 3, 'one.example');
    site.sessions('b', 2, 'one.example');
    site.sessions('b', 1, 'one.example', 'certificate-expired');
    site.sessions('c', 4, 'one.example', 'certificate-expired');
    site.sessions('c', 2, 'one.example', 'dnssec-invalid');
    site.sessions('a', 6, 'one.example', undefined, NONE);
    site.sessions('c', 1, 'two.example', undefined, NONE);
    for (const name of ['a', 'b', 'c']) site.sessions(name, 10, 'three.example');
    // They ask for nothing.
    for (const domain of ['four.example', 'five.example']) site.sessions('a', 1, domain);
    const reports = await site.tomorrow();
    const mailed = reports.map(({ to, json }) => [
      json.policies[0]?.policy['policy-domain'],
      to.toSorted(),
      sumsOf(json),
    ]);
    assert.deepEqual(mailed.toSorted(), [
      [
        'one.example',
        ['tls@one.example'],
        [
          ['tlsa', 5, 7, { 'certificate-expired': 5, 'dnssec-invalid': 2 }],
          ['no-policy-found', 6, 0, {}],
        ],
      ],
      ['two.example', ['tls@reader.example', 'tls@two.example'], [['no-policy-found', 1, 0, {}]]],
    ]);
    await waitFor(() => taker.posts.length > 0, { what: 'the report that is posted' });
    await waitFor(() => site.lines('TLS report posted').length > 0, { what: 'its end' });
    const [{ path, type, json } = assert.fail(), ...more] = taker.posts;
    assert.deepEqual([path, type, more], ['/tls', 'application/tlsrpt+gzip', []]);
    assert.equal(await checkAgainstSchema(json), '');
    assert.deepEqual(sumsOf(JSON.parse(json) as Json), [['tlsa', 30, 0, {}]]);
    assert.equal(site.lines('TLS report committed').length, 3);
  });

  test('its form is that of RFC 8460', async () => {
    await using site = await cluster({ '_smtp._tls.one.example': 'v=TLSRPTv1; rua=mailto:tls@one.example' }, 'a');
    site.sessions('a', 1, 'one.example', 'starttls-not-supported');
    const [{ content, json } = assert.fail(), ...more] = await site.tomorrow();
    assert.deepEqual(more, []);
    const begin = Date.UTC(2030, 4, 1) / 1000;
    const id = json['report-id'];
    assert.match(id, /^[0-9a-f]{32}@sealpost\.test$/);
    assert.match(content, /\r\nFrom: <postmaster@sealpost\.test>\r\n/);
    assert.ok(
      content.includes(`\r\nSubject: Report Domain: one.example Submitter: sealpost.test Report-ID: <${id}>\r\n`),
    );
    assert.match(content, /\r\nTLS-Report-Domain: one\.example\r\nTLS-Report-Submitter: sealpost\.test\r\n/);
    assert.match(content, /\r\nContent-Type: multipart\/report; report-type="tlsrpt"; boundary="/);
    const file = `sealpost.test!one.example!${begin}!${begin + 86_399}!${id.split('@')[0]}.json.gz`;
    assert.ok(content.includes(`\r\nContent-Disposition: attachment; filename="${file}"\r\n`));
  });

  test('sessions of a node that is away at midnight come later, in a report of their own, and only these', async () => {
    await using site = await cluster(
      { '_smtp._tls.one.example': 'v=TLSRPTv1; rua=mailto:tls@one.example' },
      ...['a', 'b', 'c'],
    );
    for (const name of ['a', 'b', 'c']) site.sessions(name, 2, 'one.example');
    await site.kill('c');
    const [first = assert.fail(), ...more] = await site.tomorrow();
    assert.deepEqual(more, []);
    assert.deepEqual(sumsOf(first.json), [['tlsa', 4, 0, {}]]);
    await site.start('c');
    site.sessions('a', 1, 'one.example', 'certificate-host-mismatch');
    const reports = await site.tomorrow();
    const found = reports.map(({ json }) => [json['date-range']['start-datetime'], sumsOf(json)]);
    assert.deepEqual(found.toSorted(), [
      ['2030-05-01T00:00:00Z', [['tlsa', 2, 0, {}]]],
      ['2030-05-02T00:00:00Z', [['tlsa', 0, 1, { 'certificate-host-mismatch': 1 }]]],
    ]);
    assert.equal(new Set([first, ...reports].map(({ json }) => json['report-id'])).size, 3);
  });

  test('while DNS does not tell whether a domain asks, its report waits for the next night', async () => {
    const trouble = Object.assign(new Error('no answer'), { code: 'ETIMEOUT' });
    const records: Record<string, string | Error> = { '_smtp._tls.one.example': trouble };
    await using site = await cluster(records, 'a');
    site.sessions('a', 3, 'one.example');
    assert.deepEqual(await site.tomorrow(), []);
    records['_smtp._tls.one.example'] = 'v=TLSRPTv1; rua=mailto:tls@one.example';
    const reports = await site.tomorrow();
    assert.deepEqual(
      reports.map(({ json }) => [json['date-range']['start-datetime'], sumsOf(json)]),
      [['2030-05-01T00:00:00Z', [['tlsa', 3, 0, {}]]]],
    );
  });
});
