import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, type TestContext, test } from 'node:test';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { splitHeader } from '#shared/mail/header.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Messages that are made to cost a node time, or to look genuine, through a listener of a whole node: what is answered, what
 * the fields say, and the processor time of the node for each.
 */

/** On an ordinary machine; a slower one gets more by as much as it is slower, see `slowness`. */
const MOST_MS = 200;
/** Of each message, the cheapest of so many: the node has other things to do as well. */
const TIMES = 3;

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const KEY = `v=DKIM1; k=rsa; p=${publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`;

const FROM = 'From: Author <author@sender.test>\r\n';
const REST =
  'To: reader@dest.test\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@sender.test>\r\nSubject: test\r\n';
const BODY = `${'The quick brown fox. \r\n'.repeat(400)}`;
const PLAIN = `${FROM}${REST}\r\n${BODY}`;

/** `message` with a signature of sender.test in front. */
async function signature(selector = 's1', message = PLAIN): Promise<string> {
  const signer = { signingDomain: 'sender.test', selector, privateKey: PEM };
  const { signatures } = await dkimSign(message, {
    ...{ ...signer, canonicalization: 'relaxed/relaxed', signatureData: [signer] },
  });
  return signatures;
}

let dns: FakeDns;
let sink: SmtpSink;
let node: SealpostNode;
let pid: number;

before(async () => {
  dns = await FakeDns.start((query) => {
    const name = query.questions[0]?.name.toLowerCase() ?? '';
    if (name.endsWith('._domainkey.sender.test'))
      return answerTo(query, { answers: [txt(name, KEY.slice(0, 250), KEY.slice(250))] });
    if (name === 'sender.test') return answerTo(query, { answers: [txt(name, 'v=spf1 ip4:127.0.0.1 -all')] });
    if (name === '_dmarc.sender.test') return answerTo(query, { answers: [txt(name, 'v=DMARC1; p=reject')] });
    return answerTo(query, { rcode: 3 });
  });
  sink = await SmtpSink.start();
  node = await SealpostNode.create({
    sink: sink.port,
    config: [
      `dns: { servers: ["${dns.server}"] }`,
      'relay: { allow: { hosts: [], domains: [dest.test] } }',
      'limits: { header-size: 4MB }',
    ].join('\n'),
  });
  ({ pid } = node.launch());
  await waitFor(async () => (await send(PLAIN)).startsWith('250'), { timeout: 30_000, what: 'the node' });
  // Compiled code, here too, and what DNS says, first.
  for (let n = 0; n < 20; n++) await send(`${await signature()}${PLAIN}`);
  for (let n = 0; n < 3; n++) slowness();
});

after(async () => {
  await node?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
  await dns?.[Symbol.asyncDispose]();
});

async function send(message: string): Promise<string> {
  await using dialog = await Dialog.connect(node.port, { timeout: 20_000 });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say('MAIL FROM:<author@sender.test>', 250);
  await dialog.say('RCPT TO:<reader@dest.test>', 250);
  await dialog.say('DATA', 354);
  dialog.send(message);
  const { code, text } = await dialog.command('.');
  return `${code} ${text}`;
}

/** The reply to a message, the fields that the next hop got, and what it costs an ordinary machine: the least of several times. */
async function measure(message: string): Promise<{ reply: string; results: string; header: string; ms: number }> {
  let cheapest = Number.POSITIVE_INFINITY;
  let reply = '';
  let header = '';
  for (let n = 0; n < TIMES; n++) {
    const slow = slowness();
    const [spent, there] = [await processorMs(), sink.messages.length];
    reply = await send(message);
    if (reply.startsWith('250')) {
      const { data } = await waitFor(() => sink.messages[there], {
        what: 'the message at the next hop',
        timeout: 20_000,
      });
      header = data.toString('latin1', 0, data.indexOf('\r\n\r\n') + 2);
    }
    const ms = (await processorMs()) - spent;
    cheapest = Math.min(cheapest, Math.round(ms / Math.max(1, (slow + slowness()) / 2)));
  }
  const results = splitHeader(header).find(({ name }) => name === 'authentication-results')?.raw ?? '';
  return { reply, results: results.replace(/\r\n\s+/g, ' '), header, ms: cheapest };
}

/** User and system time of the node (proc(5)), in ticks of 10 ms. */
async function processorMs(): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A piece of work like that of the node, and what an ordinary machine takes for it. */
const FIELDS = 'X-Field: some forty characters, all in all, here\r\n'.repeat(20_000);
const ORDINARY_MS = 10;

/**
 * How many times as long as an ordinary machine this one takes at the moment. Processor time is no fixed measure: a slow
 * processor takes more of it for the same work, and so does one whose caches and core others use meanwhile. What a message
 * costs is compared with the same work before and after it, so that the limit finds what is slow in the node alone.
 */
function slowness(): number {
  let cheapest = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 2; n++) {
    const began = process.threadCpuUsage();
    const names = FIELDS.split('\r\n').map((field) => field.replace(/\s+/g, ' ').split(':', 1)[0]?.toLowerCase());
    createHash('sha256').update(FIELDS).update(names.join()).digest();
    const { user, system } = process.threadCpuUsage(began);
    cheapest = Math.min(cheapest, (user + system) / 1000);
  }
  return cheapest / ORDINARY_MS;
}

function cheap(t: TestContext, ms: number): void {
  t.diagnostic(`${ms} ms of processor time, on a machine that is ${slowness().toFixed(1)} times as slow as usual`);
  assert.ok(ms <= MOST_MS, `${ms} ms of processor time`);
}

test('a genuine message passes, and says so', async (t) => {
  const { reply, results, ms } = await measure(`${await signature()}${PLAIN}`);
  assert.match(reply, /^250 /);
  for (const result of [/ spf=pass /, / dkim=pass /, / dmarc=pass /]) assert.match(results, result);
  cheap(t, ms);
});

const NOT_CLEAR = /^550 5\.7\.1 The author of the message is not clear: /;
const SEVERAL = /^550 5\.6\.0 The message has more than one From field$/;
for (const [what, from, expected] of [
  ['two From fields', `${FROM}From: other@bank.test\r\n`, SEVERAL],
  ['two From fields, one of them spelled oddly', `FROM : other@bank.test\r\n${FROM}`, SEVERAL],
  ['300 From fields', `${FROM.repeat(300)}`, SEVERAL],
  ['a From with two mailboxes of different domains', 'From: author@sender.test, other@bank.test\r\n', NOT_CLEAR],
  ['no From', '', NOT_CLEAR],
  ['a From of 20,000 mailboxes', `From: ${'a@sender.test,\r\n '.repeat(20_000)}b@bank.test\r\n`, NOT_CLEAR],
  ['a From of comments within comments', `From: ${'('.repeat(300_000)}a@sender.test\r\n`, NOT_CLEAR],
] as const) {
  test(`${what}: refused, whatever its signature is worth`, async (t) => {
    const { reply, ms } = await measure(`${await signature()}${from}${REST}\r\n${BODY}`);
    assert.match(reply, expected);
    cheap(t, ms);
  });
}

test('a From with two mailboxes of one domain passes: all readers see that domain', async (t) => {
  const message = PLAIN.replace('<author@sender.test>', '<author@sender.test>, other@sender.test');
  const { reply, results, ms } = await measure(`${await signature('s1', message)}${message}`);
  assert.match(reply, /^250 /);
  assert.match(results, / dmarc=pass .*header\.from=sender\.test/);
  cheap(t, ms);
});

test('300 signatures: the ten topmost are verified, and it is said that there are more', async (t) => {
  const good = await signature();
  const { reply, results, ms } = await measure(`${good.repeat(300)}${PLAIN}`);
  assert.match(reply, /^250 /);
  assert.deepEqual(results.match(/dkim=\w+/g), [...Array.from({ length: 10 }, () => 'dkim=pass'), 'dkim=policy']);
  assert.match(results, /290 more were not looked at/);
  cheap(t, ms);
});

for (const [what, header] of [
  ['one field of 2 MB', `X-Long: ${'y'.repeat(900).concat('\r\n ').repeat(2300)}z\r\n`],
  ['40,000 fields', 'X-Field: some forty characters, all in all, here\r\n'.repeat(40_000)],
  ['signatures alone', `DKIM-Signature: v=1; d=sender.test; s=s1; b=${'A'.repeat(900)}\r\n`.repeat(2200)],
  [
    'signatures that sign each field a hundred times',
    (await signature()).replace(/h=[^;]+/, `h=${'from:'.repeat(400)}from`).repeat(700),
  ],
  ['white space in a signature', `DKIM-Signature: v=1;${' '.repeat(998)}\r\n`.repeat(2000)],
  ['results of others', 'Authentication-Results: edge.test; spf=pass\r\n'.repeat(45_000)],
  [
    'fields of an ARC chain',
    Array.from(
      { length: 2500 },
      (_, n) => `ARC-Seal: i=${n + 1}; a=rsa-sha256; cv=pass; d=sender.test; s=s1; b=${'A'.repeat(700)}\r\n`,
    ).join(''),
  ],
] as const) {
  test(`a header of 2 MB, ${what}: accepted, where the limit lets it in`, async (t) => {
    assert.ok(header.length > 1_500_000 && header.length < 4_000_000);
    const { reply, results, header: sent, ms } = await measure(`${await signature()}${header}${PLAIN}`);
    assert.match(reply, /^250 /);
    assert.match(results, / spf=pass /);
    assert.match(results, / dmarc=pass /);
    const ours = sent.match(/^Authentication-Results: edge\.test;/gm);
    assert.equal(ours?.length, 1);
    cheap(t, ms);
  });
}

test('a header above the limit is refused', async (t) => {
  const { reply, ms } = await measure(`X-Long: ${'y'.repeat(900).concat('\r\n ').repeat(4700)}z\r\n${PLAIN}`);
  assert.match(reply, /^552 5\.3\.4 /);
  cheap(t, ms);
});
