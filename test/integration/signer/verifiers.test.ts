import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dkimRecordName } from '#shared/dkim-record.ts';
import { locate, needs } from '#test/kit/peers.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { bytesOf, LARGE, MESSAGES, type SampleMessage } from '#test/unit/signer/messages.ts';
import { signatures, testKey } from '#test/unit/signer/signing.ts';

/** Other people's verifiers must pass what the signer signs, and fail what was changed. */

const RSA = testKey('example.com', 'r1', 'rsa');
const ED25519 = testKey('example.com', 'e1', 'ed25519');

/** Both refuse white space between a field's name and its colon, which RFC 5322 §4.5 knows and RFC 6376 §3.4.2 relaxes. */
const FOR_OTHERS = [...MESSAGES, LARGE].filter((m) => m.name !== 'white space before the colon');

const ADD_FROM = (text: string): string => `From: eve@example.net\r\n${text}`;
const CHANGED = { name: 'changed', header: 'From: alice@example.com\r\nSubject: x\r\n', body: 'x\r\n' };

/** Write each message, signed with these keys, to a file of its own; the last one gets a second From behind the signer's back. */
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

test(
  'dkimpy passes every message, both signatures, and fails one with a second From',
  needs('dkimverify'),
  async () => {
    await using dir = await tempDir();
    const keys = join(dir.path, 'keys.json');
    await writeFile(keys, JSON.stringify(Object.fromEntries([RSA, ED25519].map((k) => [dkimRecordName(k), k.record]))));
    const files = await writeSigned(dir, FOR_OTHERS, [RSA, ED25519]);
    // The interpreter that the dkim package was installed for.
    const python = /^#!(\S+)/.exec(await readFile(locate('dkimverify') ?? '', 'utf8'))?.[1] ?? 'python3';
    const script = fileURLToPath(new URL('verify-with-dkimpy.py', import.meta.url));
    await using program = new Program(python, [script, keys, ...files]);
    assert.equal(await program.ended(), 0, program.output);
    const verdicts: Record<string, string[]> = JSON.parse(program.output);

    for (const [i, message] of FOR_OTHERS.entries()) {
      const ours = (verdicts[files[i] ?? ''] ?? []).slice(0, 2);
      assert.deepEqual(ours, ['pass', 'pass'], message.name);
    }
    assert.deepEqual(verdicts[files.at(-1) ?? ''], ['fail', 'fail']);
  },
);

for (const key of [RSA, ED25519]) {
  test(
    `OpenDKIM passes every message signed with ${key.selector}, and fails one with a second From`,
    needs('opendkim'),
    async () => {
      await using dir = await tempDir();
      const keys = join(dir.path, 'keys');
      const config = join(dir.path, 'opendkim.conf');
      await writeFile(keys, `${dkimRecordName(key)} ${key.record}\n`);
      await writeFile(config, `Mode v\nTestDNSData file:${keys}\n`);
      // It reads lines, and passes over a last one that has no end; SMTP has none such.
      const messages = FOR_OTHERS.map((m) =>
        m.body === '' || m.body.endsWith('\r\n') ? m : { ...m, body: `${m.body}\r\n` },
      );
      const files = await writeSigned(dir, messages, [key]);
      await using program = new Program('opendkim', ['-x', config, '-v', '-v', '-t', files.join(',')]);
      await program.ended();
      const passed = (file: string): boolean =>
        program.output.includes(`${file}: verification (s=${key.selector}, d=example.com,`) &&
        new RegExp(`${file}: verification .* succeeded`).test(program.output);
      for (const [i, message] of messages.entries())
        assert.ok(passed(files[i] ?? ''), `${message.name}\n${program.output.slice(-2000)}`);
      assert.equal(passed(files.at(-1) ?? ''), false);
      assert.match(program.output, new RegExp(`${files.at(-1)}: verification .* failed`));
    },
  );
}
