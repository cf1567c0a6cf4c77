import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { verifyWithDkimpy, verifyWithOpenDkim } from '#test/kit/dkim/verifiers.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { bytesOf, LARGE, MESSAGES, type SampleMessage } from '#test/unit/signer/messages.ts';
import { signatures, testKey } from '#test/unit/signer/signing.ts';

/** Other people's verifiers must pass what the signer signs, and fail what was changed. */

const RSA = testKey('example.com', 'r1', 'rsa');
const ED25519 = testKey('example.com', 'e1', 'ed25519');

/**
 * Both refuse white space between a field's name and its colon, which RFC 5322 §4.5 knows and RFC 6376 §3.4.2 relaxes.
 */
const FOR_OTHERS = [...MESSAGES, LARGE].filter((m) => m.name !== 'white space before the colon');

const ADD_FROM = (text: string): string => `From: eve@example.net\r\n${text}`;
const CHANGED = { name: 'changed', header: 'From: alice@example.com\r\nSubject: x\r\n', body: 'x\r\n' };

/**
 * Write each message, signed with these keys, to a file of its own; the last one gets a second From behind the signer's
 * back.
 */
async function writeSigned(dir: TempDir, messages: SampleMessage[], keys: (typeof RSA)[]): Promise<string[]> {
  const files: string[] = [];
  for (const message of [...messages, CHANGED]) {
    const signed = bytesOf(message, await signatures(message, keys));
    const file = join(dir.path, `${files.length}.eml`);
    files.push(file);
    await writeFile(file, message === CHANGED ? Buffer.from(ADD_FROM(signed.toString('latin1')), 'latin1') : signed);
  }
  return files;
}

const RECORDS = Object.fromEntries([RSA, ED25519].map((key) => [dkimRecordName(key), key.record]));

test(
  'dkimpy passes every message, both signatures, and fails one with a second From',
  needs('dkimverify'),
  async () => {
    await using dir = await tempDir();
    const files = await writeSigned(dir, FOR_OTHERS, [RSA, ED25519]);
    const verdicts = await verifyWithDkimpy(files, RECORDS);
    for (const [i, message] of FOR_OTHERS.entries()) {
      assert.deepEqual(verdicts[i]?.slice(0, 2), ['pass', 'pass'], message.name);
    }
    assert.deepEqual(verdicts.at(-1), ['fail', 'fail']);
  },
);

for (const key of [RSA, ED25519]) {
  test(
    `OpenDKIM passes every message signed with ${key.selector}, and fails one with a second From`,
    needs('opendkim'),
    async () => {
      await using dir = await tempDir();
      const messages = FOR_OTHERS.map((m) =>
        m.body === '' || m.body.endsWith('\r\n') ? m : { ...m, body: `${m.body}\r\n` },
      );
      const verdicts = await verifyWithOpenDkim(await writeSigned(dir, messages, [key]), RECORDS);
      for (const [i, message] of messages.entries()) {
        assert.equal(verdicts[i]?.selector, key.selector, `${message.name}\n${verdicts[i]?.output}`);
        assert.ok(verdicts[i]?.passed, `${message.name}\n${verdicts[i]?.output}`);
      }
      assert.equal(verdicts.at(-1)?.passed, false);
      assert.match(verdicts.at(-1)?.output ?? '', /verification .* failed/);
    },
  );
}
