import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { convertToSevenBit } from '#services/router/delivery/seven-bit/conversion.ts';
import { seededRandom } from '#test/kit/random.ts';

/**
 * Converted mail as Python's email package reads it, a parser that we did not write: the same parts with the same content
 * as before, in 7 bit.
 */
const READER = `
import email, email.policy, json, sys
def leaves(m):
    if m.is_multipart():
        return [m.get_content_type()] + [x for p in m.get_payload() for x in leaves(p)]
    return [[m.get_content_type(), m.get_payload(decode=True).hex()]]
out = []
for text in json.load(sys.stdin):
    m = email.message_from_bytes(text.encode('latin1'))
    out.append([leaves(m), [str(d) for d in m.defects]])
json.dump(out, sys.stdout)
`;

function read(messages: readonly Buffer[]): unknown[] {
  const input = JSON.stringify(messages.map((m) => m.toString('latin1')));
  const python = spawnSync('python3', ['-c', READER], { input, maxBuffer: 64 * 1024 * 1024 });
  assert.equal(python.status, 0, python.stderr.toString());
  return JSON.parse(python.stdout.toString());
}

type Random = () => number;
const pick = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;

function content(random: Random): string {
  const lines: string[] = [];
  for (let n = Math.floor(random() * 6); n >= 0; n--) {
    const words = Array.from({ length: Math.floor(random() * 30) }, () =>
      pick(random, ['a', 'b=', ' ', '.', 'ä', '\t', '--', 'ÿÿÿÿ', 'word', 'From ']),
    );
    lines.push(words.join(pick(random, ['', ' '])));
  }
  return lines.join('\r\n');
}

/** An entity with its header: a leaf, a multipart or a message, of random structure. */
function entity(random: Random, depth: number): string {
  const kind = depth > 3 ? 0 : random();
  if (kind < 0.5) {
    const type = pick(random, [
      'text/plain; charset=iso-8859-1',
      'text/html',
      'application/x-data',
      'image/png; name=a',
    ]);
    return `Content-Type: ${type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${content(random)}`;
  }
  if (kind < 0.65) return `Content-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\n${entity(random, depth + 1)}`;
  const boundary = `b${depth}${pick(random, ['', ' x', "'()+_,-./:=?"])}`;
  const parts = Array.from({ length: 1 + Math.floor(random() * 3) }, () => entity(random, depth + 1));
  return [
    `Content-Type: multipart/mixed; boundary="${boundary}"\r\nContent-Transfer-Encoding: 8bit\r\n\r\npreamble`,
    ...parts,
  ]
    .join(`\r\n--${boundary}\r\n`)
    .concat(`\r\n--${boundary}--\r\n`);
}

test('every part of a converted message decodes to what it was', async (t) => {
  if (spawnSync('python3', ['-V']).status !== 0) return t.skip('needs python3');
  const random = seededRandom(20_261);
  const originals: Buffer[] = [];
  const converted: Buffer[] = [];
  for (let n = 0; n < 300; n++) {
    const original = Buffer.from(`Subject: ${n}\r\nMIME-Version: 1.0\r\n${entity(random, 0)}\r\n`, 'latin1');
    const step = 1 + Math.floor(random() * 100);
    const pieces = function* () {
      for (let at = 0; at < original.length; at += step) yield original.subarray(at, at + step);
    };
    const { header, body } = await convertToSevenBit(pieces, false);
    const parts: Uint8Array[] = [header];
    for await (const bytes of body()) parts.push(bytes);
    originals.push(original);
    converted.push(Buffer.concat(parts));
  }
  for (const bytes of converted) assert.ok(bytes.every((byte) => byte < 128));
  const before = read(originals);
  const after = read(converted);
  for (const [n, found] of after.entries())
    assert.deepEqual(
      found,
      before[n],
      `${originals[n]?.toString('latin1')}\n=====\n${converted[n]?.toString('latin1')}`,
    );
});
