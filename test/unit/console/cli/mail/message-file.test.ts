import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type MessageFile, readMessageFile } from '#services/console/cli/mail/message-file.ts';
import { tempDir } from '#test/kit/temp.ts';

const SIGNATURE = 'DKIM-Signature: a=rsa-sha256; c=relaxed/simple; d=a.test; s=s; h=From; bh=x; b=y\n';
const HEADER = `${SIGNATURE}From: a@b.test\n\n`;

async function read(text: string): Promise<MessageFile> {
  await using dir = await tempDir('message');
  const file = join(dir.path, 'mail.eml');
  await writeFile(file, text, 'latin1');
  return await readMessageFile(file);
}

const crlf = (text: string): string => text.replace(/\r?\n/g, '\r\n');
const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('base64');

/** The file, and what a client would send of it: header and body with CRLF. */
const FILES: [name: string, text: string, header: string, body: string][] = [
  ['lines that end with LF', `${HEADER}one\ntwo\n`, HEADER, 'one\ntwo\n'],
  ['lines that end with CRLF', crlf(`${HEADER}one\n`), HEADER, 'one\n'],
  ['both', `${crlf(HEADER)}one\r\ntwo\n`, HEADER, 'one\ntwo\n'],
  ['no end of the last line', `${HEADER}one`, HEADER, 'one\n'],
  ['the line of a mailbox file', `From a Sat Nov 28 10:00:00 2026\n${HEADER}one\n`, HEADER, 'one\n'],
  ['octets above 127', `${HEADER}gr\xfc\xdfe\n`, HEADER, 'gr\xfc\xdfe\n'],
  [
    'a body over many pieces',
    `${HEADER}${`${'y'.repeat(77)}\n`.repeat(3000)}`,
    HEADER,
    `${'y'.repeat(77)}\n`.repeat(3000),
  ],
];

for (const [name, text, header, body] of FILES) {
  test(`a message from a file: ${name}`, async () => {
    const sent = crlf(body);
    assert.deepEqual(await read(text), {
      header: crlf(header),
      size: crlf(header).length + sent.length,
      bodyHashes: [{ canonicalization: 'simple', hash: sha256(sent), hashed: sent.length, total: sent.length }],
      defect: undefined,
    });
  });
}

test('a file without an empty line is a header; one without a header is a body', async () => {
  const { header, size, bodyHashes } = await read(SIGNATURE);
  assert.deepEqual([header, size, bodyHashes[0]?.hash], [crlf(SIGNATURE), crlf(SIGNATURE).length, sha256('\r\n')]);
  assert.deepEqual(await read('no header here\n'), { header: '\r\n', size: 18, bodyHashes: [], defect: undefined });
  assert.deepEqual(await read(''), { header: '', size: 0, bodyHashes: [], defect: undefined });
});

test('a CR within a line and a NUL are seen, wherever the file is cut into pieces', async () => {
  assert.equal((await read(`${HEADER}a\rb\n`)).defect, 'bare-cr');
  assert.equal((await read(`${HEADER}a\r`)).defect, 'bare-cr');
  assert.equal((await read(`${HEADER}a\0b\n`)).defect, 'nul');
  // Files are read in pieces of 64 KiB.
  const long = `${HEADER}${'y'.repeat((1 << 16) - 1 - HEADER.length)}`;
  assert.equal((await read(`${long}\rz\n`)).defect, 'bare-cr');
  const ended = await read(`${long}\r\nz\n`);
  assert.deepEqual([ended.defect, ended.size], [undefined, crlf(long).length + 5]);
});

test('a header that no listener takes is refused before it is sent anywhere', async () => {
  await assert.rejects(read(`X: ${'x'.repeat(3 << 20)}\n\n`), { code: 'usage', message: /header .* larger than 2 MB/ });
});
