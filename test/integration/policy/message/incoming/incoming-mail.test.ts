import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Type } from '#shared/dns/message.ts';
import { answerTo, FakeDns, type Query, txt } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * What becomes of mail from outside at a real node (DOMINO I1-I9), by what DNS says of its sender: the reply, and the
 * mailbox that it ends in. The client's address comes by the PROXY protocol.
 */

/** A key of 2048 bits; what is signed with it here is signed wrongly. */
const KEY =
  'MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB';

/** The key of those who seal. */
const SEALING = generateKeyPairSync('rsa', { modulusLength: 2048 });
const SEALING_RECORD = `v=DKIM1; k=rsa; p=${SEALING.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`;

const RECORDS: Record<string, string> = {
  'arc._domainkey.sealer.test': SEALING_RECORD,
  'arc._domainkey.stranger.test': SEALING_RECORD,
  'pass.test': 'v=spf1 ip4:203.0.113.0/24 -all',
  'fail.test': 'v=spf1 -all',
  'soft.test': 'v=spf1 ~all',
  'broken.test': 'v=spf1 nonsense',
  'list.test': 'v=spf1 ip4:203.0.113.50 -all',
  's._domainkey.signed.test': `v=DKIM1; k=rsa; p=${KEY}`,
  '_dmarc.reject.test': 'v=DMARC1; p=reject',
  '_dmarc.quarantine.test': 'v=DMARC1; p=quarantine',
  '_dmarc.testing.test': 'v=DMARC1; p=reject; t=y',
  '_dmarc.excused.test': 'v=DMARC1; p=reject',
};

/** Silence for `trouble.test`, nothing for the rest of the world. */
function answer(query: Query): Buffer {
  const { name = '', type = 0 } = query.questions[0] ?? {};
  const record = RECORDS[name.toLowerCase()];
  if (/(^|\.)trouble\.test$/i.test(name)) return answerTo(query, { rcode: 2 });
  if (record === undefined) return answerTo(query, { rcode: 3 });
  const strings = record.match(/.{1,200}/g) ?? [];
  return answerTo(query, type === Type.TXT ? { answers: [txt(name, ...strings)] } : {});
}

const BODY = 'Hello\r\n';
const SIGNATURE = `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=signed.test; s=s; h=from:subject;\r\n\tbh=${'A'.repeat(43)}=; b=${'A'.repeat(342)}==\r\n`;

type Row = { title: string; domain: string; client?: string; path?: string; header?: string; expected: string };

const TRUSTED: Row[] = [
  { title: 'I2 SPF pass', domain: 'pass.test', expected: 'mailbox' },
  { title: 'I2 SPF none', domain: 'unknown.test', expected: 'mailbox' },
  { title: 'I2 SPF temperror', domain: 'trouble.test', expected: 'mailbox' },
  {
    title: 'I4 SPF is not asked about an exempt host',
    domain: 'fail.test',
    client: '198.51.100.7',
    expected: 'mailbox',
  },
  { title: 'I7 DMARC, an override', domain: 'excused.test', path: 'a@pass.test', expected: 'mailbox' },
  {
    title: 'I7 DMARC, a mailing list',
    domain: 'reject.test',
    path: 'a@list.test',
    client: '203.0.113.50',
    expected: 'mailbox',
  },
  {
    title: 'I7 DMARC pass for lack of a failure',
    domain: 'pass.test',
    path: 'a@fail.test',
    client: '198.51.100.7',
    expected: 'mailbox',
  },
];
const UNTRUSTED: Row[] = [
  { title: 'I1 DKIM fail', domain: 'signed.test', header: SIGNATURE, expected: 'junk' },
  { title: 'I6 SPF softfail, switched on', domain: 'soft.test', expected: 'junk' },
  { title: 'I6 SPF permerror', domain: 'broken.test', expected: 'junk' },
  { title: 'I7 DMARC, p=quarantine', domain: 'quarantine.test', expected: 'junk' },
  { title: 'I7 DMARC, t=y', domain: 'testing.test', expected: 'junk' },
];
const REFUSED: Row[] = [
  {
    title: 'I3 SPF fail',
    domain: 'fail.test',
    expected:
      '554 5.7.23 Mail rejected for policy reasons. SPF policy for domain fail.test does not designate host 203.0.113.7 as a permitted sender.',
  },
  {
    title: 'I7 DMARC, p=reject',
    domain: 'reject.test',
    path: 'a@pass.test',
    expected:
      '550 5.7.26 Mail from reject.test rejected for policy reasons: it passes neither SPF nor DKIM for that domain, and its DMARC policy is reject',
  },
  {
    title: 'I7 DMARC, a list that came from elsewhere',
    domain: 'reject.test',
    path: 'a@list.test',
    expected: '554 5.7.23',
  },
];

const resources = new AsyncDisposableStack();
let node: SealpostNode;
let dns: FakeDns;
let lmtp: SmtpSink;
let mail: string;

before(async () => {
  const temp = resources.use(await tempDir('incoming'));
  mail = join(temp.path, 'mail');
  dns = resources.use(await FakeDns.start(answer));
  lmtp = resources.use(await SmtpSink.start({ lmtp: true }));
  const port = await freePort();
  node = resources.use(
    await SealpostNode.create({
      port,
      config: `
listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]
relay: { allow: { domains: [] } }
domains:
  - { name: example.com, local: true, signing: { mode: off } }
  - { name: lmtp.example, local: true, signing: { mode: off } }
dns: { servers: ["${dns.server}"], timeout: 500ms }
authenticity:
  spf: { hard-fail: reject, exempt: [198.51.100.0/24] }
  dmarc: { overrides: [{ domain: excused.test, policy: none }], mailing-lists: [list.test], arc-sealers: [sealer.test] }
  junk: { soft-fail: true, except: [spared@example.com, boss@lmtp.example] }
  external: { subject-tag: "[External]", header: true }
routes:
  - { to: example.com, via: "maildir:${mail}" }
  - { to: lmtp.example, via: "lmtp://127.0.0.1:${lmtp.port}", junk-to: +Junk }
`,
    }),
  );
  await node.start();
});
after(() => resources.disposeAsync());

/** Send a message; the reply to its end. */
async function send(row: Omit<Row, 'title' | 'expected'>, to: string[], text?: string): Promise<string> {
  const { domain, client = '203.0.113.7', path = `a@${domain}`, header = '' } = row;
  await using session = await Dialog.connect(node.port, { timeout: 15_000 });
  session.send(`PROXY TCP4 ${client} 127.0.0.1 40000 25\r\n`);
  await session.expect(220);
  await session.say('EHLO client.test', 250);
  await session.say(`MAIL FROM:<${path}>`, 250);
  for (const address of to) await session.say(`RCPT TO:<${address}>`, 250);
  await session.say('DATA', 354);
  const message = text ?? `${header}From: <a@${domain}>\r\nSubject: Hi\r\n\r\n${BODY}`;
  const { code, lines } = await session.command(`${message}.`);
  return `${code} ${lines.join(' ')}`;
}

/** The text of the one message in a folder; undefined while there is none. */
async function messageIn(folder: string): Promise<string | undefined> {
  const [name] = await readdir(join(folder, 'new')).catch(() => []);
  return name === undefined ? undefined : readFile(join(folder, 'new', name), 'latin1');
}

let mailboxes = 0;

for (const row of [...TRUSTED, ...UNTRUSTED]) {
  test(`${row.title}: ${row.expected}`, async () => {
    const local = `user-${++mailboxes}`;
    assert.match(await send(row, [`${local}@example.com`]), /^250 2\.0\.0 /);
    const box = join(mail, 'example.com', local);
    const text = await waitFor(async () => (await messageIn(box)) ?? messageIn(join(box, '.Junk')), {
      what: 'the message',
      timeout: 10_000,
    });
    const junk = (await messageIn(join(box, '.Junk'))) !== undefined;
    assert.equal(junk ? 'junk' : 'mailbox', row.expected, text);
    assert.equal(text.includes('\nX-Spam-Flag: YES\n'), junk);
    assert.match(text, /^Authentication-Results: edge\.test;/m);
    assert.match(text, /^Received-SPF: \w+ /m);
    assert.match(text, /^X-Sealpost-External: yes$/m);
    assert.match(text, /^Subject: \[External\] Hi$/m);
    assert.ok(text.endsWith('\n\nHello\n'));
  });
}

for (const row of REFUSED) {
  test(`${row.title}: ${row.expected.slice(0, 10)}`, async () => {
    const reply = await send(row, ['nobody@example.com']);
    assert.ok(reply.startsWith(row.expected), reply);
  });
}

test('I6 recipients of one message get it as junk, or as any other mail, by Maildir and by LMTP', async () => {
  const to = ['junked@example.com', 'spared@example.com', 'staff+list@lmtp.example', 'boss@lmtp.example'];
  assert.match(await send({ domain: 'broken.test' }, to), /^250 2\.0\.0 /);
  const box = join(mail, 'example.com');
  const junk = await waitFor(() => messageIn(join(box, 'junked', '.Junk')), { what: 'junk', timeout: 10_000 });
  const spared = await waitFor(() => messageIn(join(box, 'spared')), { what: 'mail', timeout: 10_000 });
  assert.match(junk, /^X-Spam-Flag: YES$/m);
  assert.doesNotMatch(spared, /^X-Spam-Flag/m);
  await waitFor(() => lmtp.messages.length === 2, { what: 'both by LMTP', timeout: 10_000 });
  const byRecipient = lmtp.messages.map(({ recipients, data }) => [
    recipients.map(({ address }) => address).join(),
    data.toString('latin1').includes('X-Spam-Flag: YES\r\n'),
  ]);
  assert.deepEqual(byRecipient.toSorted(), [
    ['boss@lmtp.example', false],
    ['staff+Junk@lmtp.example', true],
  ]);
});

test('I5 what DNS said is remembered: the second message asks nothing', async () => {
  const row = { domain: 'pass.test' };
  assert.match(await send(row, ['cached-1@example.com']), /^250 /);
  const asked = dns.queries.length;
  assert.match(await send(row, ['cached-2@example.com']), /^250 /);
  assert.deepEqual(
    dns.queries.slice(asked).map(({ questions }) => questions[0]?.name),
    [],
  );
});

test(
  'I8 an ARC seal by dkimpy excuses a DMARC failure where the sealer is listed',
  needs('arcsign', '/usr/lib/python3/dist-packages/authres'),
  async () => {
    await using temp = await tempDir('arc');
    const key = join(temp.path, 'key.pem');
    await writeFile(key, SEALING.privateKey.export({ type: 'pkcs1', format: 'pem' }));
    /** A message as somebody sends it on who changed it, with what was found there. */
    const sealed = (sealer: string, dmarc: string): string => {
      const found = `Authentication-Results: ${sealer}; arc=none; dkim=pass header.d=reject.test; dmarc=${dmarc}\r\n`;
      const message = `${found}From: <a@reject.test>\r\nTo: <b@example.com>\r\nSubject: Hi\r\n\r\n${BODY}`;
      const fields = execFileSync('arcsign', ['arc', sealer, key, sealer], { input: message, encoding: 'latin1' });
      return fields.replace(/\r?\n/g, '\r\n');
    };
    const reply = (text: string) => send({ domain: 'reject.test', path: 'a@pass.test' }, ['arc@example.com'], text);
    assert.match(await reply(sealed('stranger.test', 'pass')), /^550 5\.7\.26 /);
    assert.match(await reply(sealed('sealer.test', 'fail')), /^550 5\.7\.26 /);
    assert.match(await reply(sealed('sealer.test', 'pass').replace('Hello', 'Hallo')), /^550 5\.7\.26 /);
    assert.match(await reply(sealed('sealer.test', 'pass')), /^250 2\.0\.0 /);
    const text = await waitFor(() => messageIn(join(mail, 'example.com', 'arc')), { what: 'mail', timeout: 10_000 });
    assert.match(text, /^\tarc=pass /m);
    assert.match(text, /^\tdmarc=fail /m);
  },
);
