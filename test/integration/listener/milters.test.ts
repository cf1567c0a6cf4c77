import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { Milter } from '#test/kit/filters/milters.ts';
import { GTUBE, Rspamd } from '#test/kit/filters/rspamd.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** Milters that people run beside Postfix, behind a listener with a policy and a router in memory. */

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const RECORDS = {
  's1._domainkey.example.com': `v=DKIM1; k=rsa; p=${publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`,
};

const HEADER = [
  'From: Author <author@example.com>',
  'To: one@dest.test',
  'Date: Sun, 22 Nov 2026 12:00:00 +0000',
  'Subject:  two  spaces,',
  '\tand a fold',
  'Message-ID: <1@example.com>',
].join('\r\n');
const BODY = `Hello,\r\n\r\n${'a line of some length, again and again \r\n'.repeat(6000)}`;

const filter = ({ url }: { url: string }, more: object = {}) => ({ name: 'milter', type: 'milter', url, ...more });

async function send(port: number, message: string): Promise<string> {
  using client = await Dialogue.greeted(port);
  await client.sayAll('MAIL FROM:<author@example.com>', 'RCPT TO:<one@dest.test>', 'RCPT TO:<two@dest.test>', 'DATA');
  return await client.say(`${message.replace(/^\./gm, '..')}.`);
}

test(
  'OpenDKIM signs as a milter what dkimpy verifies, and verifies it as a milter; broken in a byte it does not',
  needs('opendkim', 'dkimverify'),
  async () => {
    await using dir = await tempDir('milters');
    await using signer = await Milter.signer(PEM);
    await using signing = await startListener({ config: { filters: [filter(signer)] } });
    assert.match(await send(signing.port, `${HEADER}\r\n\r\n${BODY}`), /^250 /);
    const [sent] = signing.router.messages;
    const [received, signature = '', ...more] = sent?.prepend ?? [];
    assert.deepEqual([received, more], ['Received: test\r\n', []]);
    assert.match(signature, /^DKIM-Signature: v=1; a=rsa-sha256; c=simple\/simple; d=example\.com; s=s1;/);
    const signed = `${signature}${sent?.text}`;
    const file = join(dir.path, 'signed.eml');
    await writeFile(file, signed, 'latin1');
    assert.deepEqual(await verifyWithDkimpy([file], RECORDS), [['pass']]);

    await using verifier = await Milter.verifier(RECORDS);
    await using verifying = await startListener({ config: { filters: [filter(verifier)] } });
    for (const message of [
      signed,
      signed.replace('again', 'Again'),
      signed.replace('  two', ' two'),
      signed.slice(signature.length),
    ])
      assert.match(await send(verifying.port, message), /^250 /);
    const results = verifying.router.messages.map(({ prepend }) =>
      /dkim=(\w+)/.exec(prepend.find((field) => field.startsWith('Authentication-Results: opendkim.test;')) ?? ''),
    );
    assert.deepEqual(
      results.map((found) => found?.[1]),
      ['pass', 'fail', 'fail', 'none'],
    );
  },
);

test(
  'OpenDMARC rejects a message with two From fields, and says what it found of others',
  needs('opendmarc'),
  async () => {
    await using milter = await Milter.dmarc();
    await using server = await startListener({ config: { filters: [filter(milter)] } });
    assert.match(await send(server.port, `From: other@example.org\r\n${HEADER}\r\n\r\n${BODY}`), /^550 5\.7\.1 /);
    assert.deepEqual([server.router.messages.length, server.router.open], [0, 0]);
    assert.match(await send(server.port, `${HEADER}\r\n\r\n${BODY}`), /^250 /);
    assert.match(server.router.messages[0]?.prepend[1] ?? '', /^Authentication-Results: opendmarc\.test; dmarc=/);
  },
);

test('rspamd as the milter that it is beside Postfix', needs('rspamd'), async () => {
  await using rspamd = await Rspamd.start();
  const url = `tcp://127.0.0.1:${rspamd.milterPort}`;
  await using server = await startListener({ config: { filters: [filter({ url })] } });
  assert.equal(await send(server.port, `${HEADER}\r\n\r\n${GTUBE.reject}\r\n`), '554 5.7.1 Gtube pattern');
  assert.match(await send(server.port, `${HEADER}\r\nX-Forged: 1\r\nX-Forged: 2\r\n\r\n${BODY}`), /^250 /);
  const [clean] = server.router.messages;
  assert.match(
    clean?.prepend[1] ?? '',
    /^X-Told: 127\.0\.0\.1 client\.test {2}Q2 client\.test author@example\.com one@dest\.test/,
  );
  assert.equal(clean?.header, `${HEADER}\r\n\r\n`);
});

test('a milter that is stopped defers mail, or lets it pass with a mark', needs('opendkim'), async () => {
  await using milter = await Milter.verifier(RECORDS);
  await milter.stop();
  for (const [onTrouble, reply, prepend] of [
    ['defer', /^451 4\.7\.1 /, undefined],
    ['accept', /^250 /, 'X-Sealpost-Unfiltered: milter; the filter is not available\r\n'],
  ] as const) {
    await using server = await startListener({ config: { filters: [filter(milter, { 'on-trouble': onTrouble })] } });
    assert.match(await send(server.port, `${HEADER}\r\n\r\n${BODY}`), reply);
    assert.equal(server.router.messages[0]?.prepend[1], prepend);
    const line = server.log.find(({ filter: name }) => name === 'milter');
    assert.match(String(line?.['error']), /ECONNREFUSED/);
  }
});
