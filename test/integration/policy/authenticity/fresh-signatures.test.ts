import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Rcode } from '#shared/dns/message.ts';
import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import {
  ed25519Key,
  rsaKey,
  SIGNERS,
  type SigningKey,
  type SignWith,
  signWithSha1,
  startSigningPostfix,
} from '#test/kit/dkim/signers.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Mail that others sign at this moment, sent to a node by SMTP: what its Authentication-Results say, as it was signed and
 * with one byte changed.
 */

const DOMAIN = 'signed.example';
const MESSAGE = Buffer.from(
  [
    'From: Alice',
    ' <alice@signed.example>',
    'To: <bob@dest.test>',
    'Subject: Hello  there',
    'Date: Sun, 29 Nov 2026 12:00:00 +0000',
    'Message-ID: <1@signed.example>',
    '',
    'Hello,',
    '',
    '.a line that begins with a dot \t and has white space',
    '',
    '',
    '',
  ].join('\r\n'),
);

/** One byte of a text changed: the one that `pattern` ends with. */
function changed(text: string, pattern: RegExp): string {
  const match = pattern.exec(text);
  assert.ok(match, `${pattern} in ${text}`);
  const at = match.index + match[0].length - 1;
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}

const PARTS: [string, RegExp][] = [
  ['the body', /\r\n\r\nHel/],
  ['the header', /\r\nSubject: Hel/],
  ['the signature', /\bb=\s*(?:[A-Za-z0-9+/]\s*){40}/],
  ['the hash of the body', /\bbh=\s*(?:[A-Za-z0-9+/]\s*){20}/],
];

let folder: TempDir;
let dns: FakeDns;
let sink: SmtpSink;
let node: SealpostNode;
let rsa: SigningKey;
const resources = new AsyncDisposableStack();
const records = new Map<string, string>([[`_dmarc.${DOMAIN}`, 'v=DMARC1; p=none']]);

before(async () => {
  folder = resources.use(await tempDir('signers'));
  dns = resources.use(
    await FakeDns.start((query) => {
      const name = query.questions[0]?.name.toLowerCase() ?? '';
      const record = records.get(name);
      if (record === undefined) return answerTo(query, { rcode: Rcode.NXDOMAIN });
      return answerTo(query, { answers: [txt(name, ...(record.match(/.{1,255}/g) ?? []))] });
    }),
  );
  sink = resources.use(await SmtpSink.start());
  node = resources.use(
    await SealpostNode.create({
      sink: sink.port,
      config: `domains: [{ name: dest.test, local: true }]\nrelay: {}\ndns: { servers: ["${dns.server}"] }`,
    }),
  );
  await node.start();
  rsa = await rsaKey(folder.path);
});
after(() => resources.disposeAsync());

async function send(port: number, message: Buffer | string): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.read();
  for (const line of ['EHLO client.example', 'MAIL FROM:<bounce@other.example>', 'RCPT TO:<bob@dest.test>'])
    assert.equal((await dialog.command(line)).code, 250, line);
  assert.equal((await dialog.command('DATA')).code, 354);
  dialog.send(message.toString('latin1').replace(/^\./gm, '..'));
  const { code, text } = await dialog.command('.');
  assert.equal(code, 250, text);
}

/** What arrives next: the message, and its Authentication-Results. */
async function next(sending: Promise<void>): Promise<{ message: string; results: string }> {
  const count = sink.messages.length;
  await sending;
  await waitFor(() => sink.messages.length > count, { what: 'the message', timeout: 20_000 });
  const message = sink.messages.at(-1)?.data.toString('latin1') ?? '';
  const fields = splitHeader(message).filter(({ name }) => name === 'authentication-results');
  assert.equal(fields.length, 1, message);
  return { message, results: fields[0] === undefined ? '' : fieldValue(fields[0]).replace(/\s+/g, ' ') };
}

const judge = async (message: Buffer | string): Promise<string> => (await next(send(node.port, message))).results;

/** It passes as it is; with a byte of any of its parts changed it does not. */
async function checkPasses(signed: Buffer, { selector, key }: SignWith): Promise<void> {
  const results = await judge(signed);
  assert.match(results, /^edge\.test; /);
  assert.match(results, new RegExp(`; dkim=pass [^;]*header\\.d=${DOMAIN}`), results);
  assert.match(results, new RegExp(`header\\.s=${selector}`));
  assert.match(results, new RegExp(`header\\.a=${key.algorithm}`));
  assert.match(results, /; dmarc=pass\b/);
  for (const [part, pattern] of PARTS) checkFails(await judge(changed(signed.toString('latin1'), pattern)), part);
}

function checkFails(results: string, part: string): void {
  assert.match(results, /dkim=(?:fail|neutral|permerror)\b/, `${part}: ${results}`);
  assert.doesNotMatch(results, /dkim=pass|dmarc=pass/, `${part}: ${results}`);
  assert.match(results, /dmarc=fail\b/, `${part}: ${results}`);
}

/** A selector whose record is the key, and one whose record is that with a byte changed. */
function publish(selector: string, { record }: SigningKey): void {
  records.set(`${selector}._domainkey.${DOMAIN}`, record);
  records.set(`${selector}-changed._domainkey.${DOMAIN}`, changed(record, /p=.{30}/));
}

for (const { name, needs: peers, sign } of SIGNERS) {
  describe(name, needs(...peers), () => {
    for (const canonicalization of ['relaxed/relaxed', 'simple/simple', 'relaxed/simple']) {
      test(`its ${canonicalization} signature verifies, and does not with one byte changed`, async () => {
        const selector = `${name.replace(/\W/g, '').toLowerCase()}-${canonicalization.replace('/', '-')}`;
        publish(selector, rsa);
        const how = { domain: DOMAIN, selector, key: rsa, canonicalization };
        await checkPasses(await sign(MESSAGE, how), how);
        const other = await sign(MESSAGE, { ...how, selector: `${selector}-changed` });
        checkFails(await judge(other), 'the key');
      });
    }
  });
}

test('an Ed25519 signature of dkimpy verifies, and does not with one byte changed', {
  ...needs('dkimsign', '/usr/lib/python3/dist-packages/nacl'),
}, async () => {
  const key = await ed25519Key(folder.path);
  publish('ed', key);
  const how = { domain: DOMAIN, selector: 'ed', key, canonicalization: 'relaxed/relaxed' };
  const dkimpy = SIGNERS.find(({ name }) => name === 'dkimpy');
  assert.ok(dkimpy);
  await checkPasses(await dkimpy.sign(MESSAGE, how), how);
  checkFails(await judge(await dkimpy.sign(MESSAGE, { ...how, selector: 'ed-changed' })), 'the key');
});

test('mail that Postfix sends and OpenDKIM signs verifies, and does not with one byte changed', {
  ...needs('postconf', 'opendkim'),
}, async () => {
  const how = { domain: DOMAIN, selector: 'postfix', key: rsa, canonicalization: 'relaxed/simple' };
  publish('postfix', rsa);
  await using home = await tempDir('postfix');
  await using postfix = await startSigningPostfix(home.path, node.port, how);
  const isUp = async (): Promise<boolean> => {
    await send(postfix.port, MESSAGE);
    return true;
  };
  const sending = waitFor(isUp, { what: 'Postfix', timeout: 20_000 }).then(() => undefined);
  const { message, results } = await next(sending).catch(async (error: unknown) => {
    throw new Error(await postfix.output(), { cause: error });
  });
  assert.match(results, /dkim=pass\b/);
  // What our node put in front of it is not sent again.
  await checkPasses(Buffer.from(message.slice(message.indexOf('DKIM-Signature:')), 'latin1'), how);
});

test('a signature with SHA-1 is none (RFC 8301)', needs('opendkim-testmsg'), async () => {
  publish('sha1', rsa);
  const signed = await signWithSha1(MESSAGE, { domain: DOMAIN, selector: 'sha1', key: rsa, canonicalization: '' });
  assert.match(signed.toString(), /a=rsa-sha1/);
  const results = await judge(signed);
  assert.doesNotMatch(results, /dkim=pass|dmarc=pass/);
  assert.match(results, /dkim=(?:policy|permerror|neutral)\b/);
});
