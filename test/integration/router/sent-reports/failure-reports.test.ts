import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { MOST_OF_DOMAIN } from '#services/router/sent-reports/dmarc/failures/limit.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, OK, ORIGIN, TestRouter } from '#test/unit/router/fixture.ts';
import { found } from '#test/unit/router/sent-reports/dmarc/found.ts';
import { dnsOf } from './reports-site.ts';

/** A router that gets mail which fails DMARC; its reports are read by Python's parser. */

const DNS = {
  'one.example': 'v=spf1 ip4:198.51.100.0/24 -all',
  'one.example._report._dmarc.reader.example': 'v=DMARC1',
  '_dmarc.one.example': 'v=DMARC1; p=reject',
};

/** The second part is a message for this parser, as all types of message/ are. */
const PYTHON = `
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, fields, header = m.iter_parts()
json.dump({
  'defects': [str(d) for p in m.walk() for d in p.defects],
  'type': m.get_content_type(), 'report': m.get_param('report-type'),
  'types': [p.get_content_type() for p in (text, fields, header)],
  'head': [[k, str(v)] for k, v in m.items()],
  'fields': {k: str(v) for k, v in fields.get_payload(0).items()},
  'header': header.get_payload(decode=True).decode(),
}, sys.stdout)
`;

type Parsed = {
  defects: string[];
  type: string;
  report: string;
  types: string[];
  head: [string, string][];
  fields: Record<string, string>;
  header: string;
};

function failing(ruf = 'mailto:fail@one.example,mailto:in@reader.example,mailto:x@stranger.example'): Authenticity {
  const base = found('one.example', { result: 'fail', dkimAligned: false, spfAligned: false });
  const { record = assert.fail() } = base.dmarc;
  return { ...base, dmarc: { ...base.dmarc, record: { ...record, ruf } } };
}

const MESSAGE = Buffer.from(
  [
    'Received: from evil.example by mx for <bob@sealpost.test>; Mon, 1 Jan 2024 00:00:00 +0000',
    'From: Alice <alice@one.example>',
    'To: Bob <bob@sealpost.test>',
    'Subject: Invoice',
    'Message-ID: <1@one.example>',
    '',
    'The secret body',
    '',
  ].join('\r\n'),
);

class Site implements AsyncDisposable {
  readonly router: TestRouter;
  readonly log: ReturnType<typeof logLines>;
  readonly #folder: Awaited<ReturnType<typeof tempDir>>;

  private constructor(
    router: TestRouter,
    log: ReturnType<typeof logLines>,
    folder: Awaited<ReturnType<typeof tempDir>>,
  ) {
    this.router = router;
    this.log = log;
    this.#folder = folder;
  }

  static async start(failure = true, dns: Parameters<typeof dnsOf>[0] = DNS): Promise<Site> {
    const folder = await tempDir('failure-reports');
    const log = logLines();
    const router = await TestRouter.start(folder.path, {
      log: log.log,
      config: {
        domains: [{ name: 'sealpost.test', local: true }],
        ...(failure && { authenticity: { dmarc: { reports: { failure } } } }),
      },
      reports: { resolve: dnsOf(dns) },
    });
    return new Site(router, log, folder);
  }

  async receive(authenticity: Authenticity, reversePath = 'alice@one.example', message = MESSAGE): Promise<void> {
    await this.router.send({ envelope: envelope(['bob@sealpost.test'], { reversePath }), message, authenticity });
    await (await this.router.delivery.next()).end('delivered', OK);
  }

  async refuse(authenticity: Authenticity): Promise<void> {
    const { handlers } = this.router.service;
    const mail = { envelope: envelope(['bob@sealpost.test'], { reversePath: 'alice@one.example' }), origin: ORIGIN };
    const { transfer } = await handlers['transfer-open'](mail, this.router.context());
    await handlers['transfer-abort']({ transfer, authenticity }, this.router.context());
  }

  /** The next report, and the addresses it goes to. */
  async report(): Promise<Parsed & { to: string[]; raw: string }> {
    const job = await this.router.delivery.next('a report');
    const raw = await job.content();
    assert.equal(job.job.reversePath, '');
    for (const { recipient } of job.job.recipients) assert.deepEqual(recipient.notify, ['NEVER']);
    const { to } = job;
    await job.end('delivered', OK);
    const input = Buffer.from(raw, 'latin1');
    return { ...(JSON.parse(execFileSync('python3', ['-c', PYTHON], { input, encoding: 'utf8' })) as Parsed), to, raw };
  }

  async lines(msg: string, count = 1): Promise<void> {
    await waitFor(() => this.log.lines().filter((line) => line.msg === msg).length >= count, { what: msg });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

describe('DMARC failure reports', { ...needs('python3'), timeout: 30_000 }, () => {
  test('a message that fails is reported to those who may read it, without body and recipients', async () => {
    await using site = await Site.start();
    await site.receive(failing());
    const { raw, to, ...report } = await site.report();
    assert.deepEqual(report.defects, []);
    // A job for each domain, and none for the one that does not consent.
    const other = await site.router.delivery.next('the job for the other domain');
    assert.deepEqual([...to, ...other.to].toSorted(), ['fail@one.example', 'in@reader.example']);
    assert.equal(site.router.delivery.jobs.length, 0);
    await other.end('delivered', OK);
    assert.deepEqual([report.type, report.report], ['multipart/report', 'feedback-report']);
    assert.deepEqual(report.types, ['text/plain', 'message/feedback-report', 'text/rfc822-headers']);
    const head = new Map(report.head);
    assert.equal(head.get('From'), 'postmaster@sealpost.test');
    assert.equal(head.get('Auto-Submitted'), 'auto-generated');
    assert.equal(head.get('Subject'), 'DMARC failure report on one.example');
    assert.ok(site.router.signer.calls.some(({ header }) => /Subject: DMARC failure report/.test(header)));
    const { 'Authentication-Results': results, 'Arrival-Date': date, 'User-Agent': agent, ...fields } = report.fields;
    assert.match(results ?? '', /dmarc=fail .*header\.from=one\.example/);
    assert.match(agent ?? '', /^Sealpost\/\d/);
    assert.ok(Math.abs(Date.parse(date ?? '') - Date.now()) < 60_000);
    assert.deepEqual(fields, {
      'Feedback-Type': 'auth-failure',
      Version: '1',
      'Auth-Failure': 'dmarc',
      'Identity-Alignment': 'dkim, spf',
      'Delivery-Result': 'delivered',
      'Source-IP': '192.0.2.9',
      'Reported-Domain': 'one.example',
      'Original-Mail-From': '<alice@one.example>',
      'SPF-DNS': 'txt : one.example : "v=spf1 ip4:198.51.100.0/24 -all"',
    });
    assert.match(report.header, /^Received: from evil\.example by mx for redacted; /);
    assert.match(report.header, /From: Alice <alice@one\.example>/);
    assert.match(report.header, /Subject: Invoice/);
    assert.doesNotMatch(raw, /bob/i);
    assert.doesNotMatch(raw, /secret/);
  });

  test('a message in many pieces is reported with its header', async () => {
    await using site = await Site.start();
    const mail = { envelope: envelope(['bob@sealpost.test']), message: MESSAGE, chunk: 50 };
    await site.router.send({ ...mail, authenticity: failing('mailto:fail@one.example'), junk: true });
    // A message that is gone before its header is read is not reported.
    const delivery = await site.router.delivery.next();
    const report = await site.report();
    await delivery.end('delivered', OK);
    assert.equal(report.fields['Delivery-Result'], 'spam');
    assert.match(report.header, /^Received: [\s\S]*\nFrom: Alice[\s\S]*\nMessage-ID: <1@one\.example>/);
  });

  test('a message that is refused is reported without its header', async () => {
    await using site = await Site.start();
    await site.refuse(failing());
    const report = await site.report();
    assert.deepEqual(report.defects, []);
    assert.equal(report.fields['Delivery-Result'], 'reject');
    assert.equal(report.header.trim(), '');
    assert.doesNotMatch(report.raw, /bob/i);
  });

  test('reports, mail with the null reverse-path, and what nobody may read cause no report', async () => {
    await using site = await Site.start();
    await site.receive(failing(), '');
    const type = 'Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n';
    await site.receive(failing(), 'alice@one.example', Buffer.concat([Buffer.from(type), MESSAGE]));
    await site.receive(failing('mailto:x@stranger.example'));
    await site.lines('DMARC report: its reader does not say in DNS that it takes reports on this domain');
    await site.receive(found('one.example'));
    // After all of these.
    await site.receive(failing('mailto:last@one.example'));
    const { to } = await site.report();
    assert.deepEqual(to, ['last@one.example']);
    assert.equal(site.router.delivery.jobs.length, 0);
  });

  test('a domain gets no more than its limit, and all of its mail is accepted', async () => {
    await using site = await Site.start();
    for (let n = 0; n < MOST_OF_DOMAIN + 3; n++) await site.refuse(failing('mailto:fail@one.example'));
    await site.lines('DMARC failure report committed', MOST_OF_DOMAIN);
    await site.lines('DMARC failure report not sent: as many as there may be in an hour were sent');
    await waitFor(() => site.router.delivery.jobs.length === MOST_OF_DOMAIN, { what: 'all reports' });
  });

  test('while DNS fails the message is accepted, and no report is sent', async () => {
    const error = Object.assign(new Error('no answer'), { code: 'ESERVFAIL' });
    await using site = await Site.start(true, {
      ...DNS,
      'one.example': error,
      'one.example._report._dmarc.reader.example': error,
    });
    await site.receive(failing('mailto:in@reader.example'));
    await site.lines('DMARC report: DNS does not tell now whether its reader takes it');
    await site.receive(failing('mailto:fail@one.example'));
    const { to, fields } = await site.report();
    assert.deepEqual(to, ['fail@one.example']);
    assert.equal(fields['SPF-DNS'], undefined);
  });

  test('without the option nothing is sent', async () => {
    await using site = await Site.start(false);
    await site.receive(failing());
    await site.refuse(failing());
    await site.receive(failing());
    assert.equal(site.router.delivery.jobs.length, 0);
    assert.equal(site.log.lines().filter(({ msg }) => msg.startsWith('DMARC failure report')).length, 0);
  });
});
