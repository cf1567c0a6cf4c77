import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DkimRecords, verifyWithDkimpy, verifyWithOpenDkim } from '#test/kit/dkim/verifiers.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const HEAD = 'From: Sender <sender@example.com>\r\nTo: <rcpt@dest.test>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n';
const MIME = `${HEAD}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n`;
const LINE = `${'0123456789abcdef '.repeat(4)}\r\n`;

const MESSAGES: [string, Buffer][] = [
  [
    'plain',
    Buffer.from(`${HEAD}Subject: plain\r\n\r\nHello,\r\n\r\n.a line that begins with a dot\r\n..two\r\n\r\n\r\n`),
  ],
  [
    '8-bit',
    Buffer.from(`${MIME}Content-Transfer-Encoding: 8bit\r\nSubject: 8-bit\r\n\r\nGrüße aus Köln — ✓  \r\n\tMüll\r\n`),
  ],
  [
    'base64',
    Buffer.from(
      `${MIME}Content-Transfer-Encoding: base64\r\nSubject: base64\r\n\r\n${Buffer.from('Grüße '.repeat(300))
        .toString('base64')
        .replace(/.{76}/g, '$&\r\n')}\r\n`,
    ),
  ],
  ['empty body', Buffer.from(`${HEAD}Subject: empty\r\n\r\n`)],
  ['10 MB', Buffer.from(`${HEAD}Subject: large\r\n\r\n${LINE.repeat(Math.ceil((10 * 1024 * 1024) / LINE.length))}`)],
];

test('mail of swaks and smtp-source arrives with two signatures that dkimpy and OpenDKIM verify', {
  ...needs('swaks', 'smtp-source', 'dkimverify', 'opendkim'),
  timeout: 120_000,
}, async (t) => {
  await using temp = await tempDir('mail');
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: 'domains: [{ name: example.com, signing: { mode: enforce }, keys: { proof: none } }]',
  });
  await node.start();
  const records: DkimRecords = {};
  for (const [selector, algorithm] of [
    ['r1', 'rsa-2048'],
    ['e1', 'ed25519'],
  ] as const) {
    await node.createKey('example.com', selector, algorithm);
    const value = await node.sealpost('keys', 'export-dns', 'example.com', selector, '--value');
    records[`${selector}._domainkey.example.com`] = value.trim();
  }

  /** What arrived since `before`, each in a file of its own. */
  const arrived = async (before: number, count: number, name: string): Promise<string[]> => {
    await waitFor(() => sink.messages.length >= before + count, { timeout: 60_000, what: `${count} messages` });
    assert.equal(sink.messages.length, before + count);
    return Promise.all(
      sink.messages.slice(before).map(async (message, i) => {
        const file = join(temp.path, `${name.replaceAll(' ', '-')}-${i}.eml`);
        await writeFile(file, message.data);
        return file;
      }),
    );
  };
  const verify = async (files: string[]): Promise<void> => {
    for (const verdict of await verifyWithDkimpy(files, records)) assert.deepEqual(verdict, ['pass', 'pass']);
    // OpenDKIM 2.11 judges the RSA one only; it stands first.
    for (const verdict of await verifyWithOpenDkim(files, records)) {
      assert.equal(verdict.selector, 'r1', verdict.output);
      assert.ok(verdict.passed, verdict.output);
    }
  };

  for (const [name, message] of MESSAGES) {
    await t.test(`swaks: ${name}`, async () => {
      const before = sink.messages.length;
      const file = join(temp.path, 'input.eml');
      await writeFile(file, message);
      const args = ['--server', '127.0.0.1', '--port', String(node.port), '--suppress-data'];
      await using swaks = new Program('swaks', [
        ...args,
        '--from',
        'sender@example.com',
        '--to',
        'rcpt@dest.test',
        '--data',
        `@${file}`,
      ]);
      assert.equal(await swaks.ended(), 0, swaks.output.slice(-2000));
      const files = await arrived(before, 1, name);
      // swaks ends the text with a line end of its own.
      const text = sink.messages.at(-1)?.data ?? Buffer.alloc(0);
      const body = message.subarray(message.indexOf('\r\n\r\n'));
      assert.ok(text.includes(body), 'the text arrived as it was sent');
      await verify(files);
    });
  }
  const emptyBody = join(temp.path, 'empty.eml');
  await writeFile(emptyBody, `${HEAD}Subject: empty\r\n\r\n`.replaceAll('\r\n', '\n'));
  for (const [name, args] of [
    ['10 KB', ['-m', '50', '-l', '10240', '-s', '10']],
    ['empty body', ['-m', '2', '-F', emptyBody]],
    ['10 MB', ['-m', '2', '-l', '10485760', '-s', '2']],
  ] as const) {
    await t.test(`smtp-source: ${name}`, async () => {
      const before = sink.messages.length;
      await using source = new Program('smtp-source', [
        ...args,
        '-f',
        'sender@example.com',
        '-t',
        'rcpt@dest.test',
        `127.0.0.1:${node.port}`,
      ]);
      assert.equal(await source.ended(), 0, source.output);
      await verify(await arrived(before, Number(args[1]), `source ${name}`));
    });
  }
});
