import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DmarcReport, SourceTotals } from '#services/console/reports/received/dmarc.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { rsaKey, SIGNERS } from '#test/kit/dkim/signers.ts';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode, type TestNodeOptions } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog, type DialogReply } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { arrived, sumOf, textOf } from './reports-site.ts';
import { Zone } from './zone.ts';

/**
 * The whole way of a report: mail in the name of a domain comes from outside to two nodes, the day ends, one report goes
 * out to the host that DNS names for its reader, and that reader, a node too, counts what the two counted.
 *
 * The wall clock of all nodes is at noon of yesterday while mail comes, and past midnight afterwards.
 */

const CLOCK = fileURLToPath(new URL('../../../kit/moved-clock.ts', import.meta.url));
const DAY = 86_400_000;
/** The mail exchanger of the reports' reader. */
const READER_HOST = '127.0.0.75';
/** Clients: the domain's own host, one that forwards its mail, and one that has nothing to do with it. */
const OWN = '203.0.113.5';
const FORWARDER = '198.51.100.20';
const STRANGER = '198.51.100.9';

type Mail = { client: string; path: string; message: Buffer };

/** The reply to a message from a client elsewhere. */
async function send(port: number, to: string, { client, path, message }: Mail): Promise<DialogReply> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  dialog.send(`PROXY TCP4 ${client} 192.0.2.25 40000 25\r\n`);
  await dialog.expect(220);
  await dialog.say('EHLO client.elsewhere.example', 250);
  for (const line of [`MAIL FROM:<${path}>`, `RCPT TO:<${to}>`]) {
    const reply = await dialog.command(line);
    if (reply.code !== 250) return reply;
  }
  await dialog.say('DATA', 354);
  dialog.send(message.toString('latin1').replace(/^\./gm, '..'));
  return await dialog.command('.');
}

const messageFrom = (author: string): Buffer =>
  Buffer.from(`From: <${author}>\r\nTo: <bob@here.example>\r\nSubject: Hi\r\n\r\nHello\r\n`);

const configOf = (port: number, zone: Zone, more: string[]): string =>
  [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
    'relay: {}',
    `dns: { servers: ["${zone.server}"] }`,
    ...more,
  ].join('\n');

type Answer = { reports: DmarcReport[]; sources: SourceTotals[] };

// Below 1024, a port is root's.
const OPTIONS = {
  ...(process.getuid?.() === 0
    ? needs('nats-server', 'xmllint', '/usr/share/perl5/Mail/DKIM.pm', 'dkimverify')
    : { skip: 'needs port 25' }),
  timeout: 120_000,
};

test('what two nodes counted of a day reaches the reader of its domain in one signed report', OPTIONS, async (t) => {
  await using undo = new AsyncDisposableStack();
  const zone = undo.use(await Zone.start());
  const { path: folder } = undo.use(await tempDir('dmarc'));
  const key = await rsaKey(folder);
  zone.text('owner.example', `v=spf1 ip4:${OWN} -all`);
  zone.text('_dmarc.owner.example', 'v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@reader.example');
  zone.text('s1._domainkey.owner.example', key.record);
  zone.text('sub.owner.example', 'a host that sends no mail');
  zone.text('owner.example._report._dmarc.reader.example', 'v=DMARC1;');
  zone.text('_dmarc.here.example', 'v=DMARC1; p=reject');
  zone.exchanger('reader.example', READER_HOST);

  const now = Date.now();
  const today = now - (now % DAY);
  const clock = join(folder, 'clock');
  const setClock = async (time: number, ...running: SealpostNode[]): Promise<void> => {
    const moved = time - Date.now();
    await writeFile(`${clock}.new`, String(moved));
    await rename(`${clock}.new`, clock);
    const said = new RegExp(`the clock is moved by ${moved} ms`);
    await Promise.all(running.map(({ programs }) => programs.get('all')?.waitForOutput(said)));
  };
  await setClock(today - DAY / 2);
  const environment = { NODE_OPTIONS: `--import=${CLOCK}`, TEST_CLOCK: clock };

  const guarded = undo.use(await startGuardedServer());
  const mailboxes = undo.use(await SmtpSink.start());
  const reader = undo.use(await SmtpSink.start({ host: READER_HOST, port: 25 }));
  const create = async (more: string[], options: TestNodeOptions): Promise<SealpostNode> => {
    const port = await freePort();
    const config = configOf(port, zone, more);
    return undo.use(await SealpostNode.create({ port, environment, config, ...options }));
  };
  const routes = `routes: [{ to: here.example, via: "smtp://127.0.0.1:${mailboxes.port}" }, { to: "*", via: mx }]`;
  const domains = 'domains: [{ name: here.example, local: true, keys: { proof: none } }]';
  const sending = [domains, routes, `delivery: { allow-local: [${READER_HOST}] }`];
  const nek = generateNek('test');
  const nodes = await Promise.all(['edge-1', 'edge-2'].map((name) => create(sending, { name, nek, bus: guarded })));
  const receive = 'authenticity: { dmarc: { reports: { receive: [dmarc@reader.example] } } }';
  const reading = ['domains: [{ name: reader.example, local: true }, { name: owner.example }]', receive];
  const owner = await create([...reading, 'routes: [{ to: "*", via: capture }]'], { name: 'owner' });
  await Promise.all([...nodes, owner].map((node) => node.start()));
  const [first, second] = nodes;
  assert.ok(first !== undefined && second !== undefined);
  await first.createKey('here.example', 'r1');
  const record = await first.sealpost('keys', 'export-dns', 'here.example', 'r1', '--value');
  zone.text('r1._domainkey.here.example', record.trim());

  // dkimpy writes when it signed, which for the nodes is in the future.
  const signer = SIGNERS.find(({ name }) => name === 'Mail::DKIM') ?? assert.fail();
  const how = { domain: 'owner.example', selector: 's1', key, canonicalization: 'relaxed/relaxed' };
  const forwarded = {
    ...{ client: FORWARDER, path: 'list@elsewhere.example' },
    message: await signer.sign(messageFrom('a@owner.example'), how),
  };
  const authorised = { client: OWN, path: 'a@owner.example', message: messageFrom('a@owner.example') };
  const ofSubdomain = { client: STRANGER, path: 'x@elsewhere.example', message: messageFrom('a@sub.owner.example') };
  const forged = { client: STRANGER, path: 'a@owner.example', message: messageFrom('a@owner.example') };
  const times = async (node: SealpostNode, count: number, mail: Mail, expected: RegExp): Promise<void> => {
    for (let n = 0; n < count; n++) {
      const { code, text } = await send(node.port, 'bob@here.example', mail);
      assert.match(`${code} ${text}`, expected);
    }
  };

  await t.test('mail comes to both nodes: it passes, is marked as junk, or is refused', async () => {
    const accepted = /^250 2\.0\.0 /;
    const refused = /^550 5\.7\.26 Mail from owner\.example rejected for policy reasons/;
    // The refused ones first: the reply does not wait until they are counted.
    await Promise.all([
      (async () => {
        await times(first, 1, forged, refused);
        await times(first, 2, authorised, accepted);
        await times(first, 1, forwarded, accepted);
        await times(first, 2, ofSubdomain, accepted);
      })(),
      (async () => {
        await times(second, 3, forged, refused);
        await times(second, 1, authorised, accepted);
        await times(second, 2, forwarded, accepted);
        await times(second, 1, ofSubdomain, accepted);
      })(),
    ]);
    await waitFor(() => mailboxes.messages.length === 9, { what: 'what was accepted', timeout: 20_000 });
    const texts = mailboxes.messages.map(({ data }) => data.toString('latin1'));
    assert.equal(texts.filter((text) => text.includes('X-Spam-Flag: YES\r\n')).length, 3);
    assert.equal(texts.filter((text) => /^\tdmarc=pass /m.test(text)).length, 6);
    assert.equal(reader.messages.length, 0);
    // Else nothing would have to be put together.
    for (const node of nodes) assert.match(outputOf(node), /"service":"router".*"msg":"accepted"/);
  });

  let report: Buffer = Buffer.alloc(0);
  await t.test('the day ends: one report comes to the mail exchanger of the reader, with our signature', async () => {
    await setClock(today + 10 * 60_000, ...nodes, owner);
    // A quarter of an hour after midnight, when the day is over by all clocks, its reports are due.
    await setClock(today + 15 * 60_000 + 1000);
    const [message = assert.fail()] = await waitFor(() => reader.messages.length > 0 && reader.messages, {
      what: 'the report',
      timeout: 30_000,
    });
    const day = new Date(today - DAY).toISOString().slice(0, 10);
    const lines = (text: string): string[] =>
      nodes.flatMap((node) => outputOf(node).split('\n')).filter((line) => line.includes(text));
    const ends = (): string[] =>
      lines('"all DMARC reports of the day are sent"').filter((line) => line.includes(`"day":"${day}"`));
    await waitFor(() => ends().length > 0, { what: 'the end of the run', timeout: 20_000 });
    assert.equal(ends().length, 1);
    assert.equal(lines('"DMARC report committed"').length, 1);
    assert.equal(reader.messages.length, 1);
    report = message.data;
    const to = message.recipients.map((recipient) => recipient.address);
    assert.deepEqual([message.from.address, to], ['', ['dmarc@reader.example']]);

    const file = join(folder, 'report.eml');
    await writeFile(file, report);
    const verdicts = await verifyWithDkimpy([file], { 'r1._domainkey.here.example': record.trim() });
    assert.deepEqual(verdicts, [['pass']]);
    assert.match(report.toString('latin1'), /\bd=here\.example;/);

    const { xml, header } = await arrived({ to, content: async () => report.toString('latin1') });
    assert.match(header, /\r\nFrom: <postmaster@here\.example>\r\n/);
    assert.match(header, /\r\nSubject: Report Domain: owner\.example Submitter: here\.example Report-ID: /);
    assert.equal(Number(textOf(xml, 'begin')) * 1000, today - DAY);
    assert.equal(sumOf(xml), 13);
    assert.deepEqual(rowsOf(xml), [
      `${FORWARDER} 3 pass pass fail owner.example`,
      `${STRANGER} 3 quarantine fail fail sub.owner.example`,
      `${STRANGER} 4 reject fail fail owner.example`,
      `${OWN} 3 pass fail pass owner.example`,
    ]);
  });

  await t.test('its reader counts the same', async () => {
    const mail = { client: OWN, path: '', message: report };
    const { code, text } = await send(owner.port, 'dmarc@reader.example', mail);
    assert.equal(code, 250, text);
    await owner.programs.get('all')?.waitForOutput(/"DMARC report kept"/, 20_000);
    const { reports, sources } = JSON.parse(await owner.sealpost('dmarc', 'reports', '--json')) as Answer;
    assert.deepEqual(
      reports.map(({ organisation, domain, begin, unreadable, dmarc }) => [
        organisation,
        domain,
        begin,
        unreadable,
        dmarc,
      ]),
      [['here.example', 'owner.example', today - DAY, 0, 'pass']],
    );
    const none = { passed: 0, dkim: 0, spf: 0, none: 0, quarantine: 0, reject: 0 };
    const from = ['owner.example'];
    assert.deepEqual(sources, [
      { ...none, source: STRANGER, messages: 7, quarantine: 3, reject: 4, from: [...from, 'sub.owner.example'] },
      { ...none, source: FORWARDER, messages: 3, passed: 3, dkim: 3, none: 3, from },
      { ...none, source: OWN, messages: 3, passed: 3, spf: 3, none: 3, from },
    ]);
  });

  assert.doesNotMatch(guarded.server.output, /Violation/);
});

const outputOf = ({ programs }: SealpostNode): string => programs.get('all')?.output ?? '';

/** The records of a report, in the order of their texts. */
function rowsOf(xml: string): string[] {
  const names = ['source_ip', 'count', 'disposition', 'dkim', 'spf', 'header_from'];
  return [...xml.matchAll(/<record>[\s\S]*?<\/record>/g)]
    .map(([text]) => names.map((name) => textOf(text, name)).join(' '))
    .toSorted();
}
