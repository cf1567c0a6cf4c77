import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandLines } from '#services/listener/parsers/command-lines.ts';

/** Every line of the input as text or problem, with the input cut into pieces of `size` bytes. */
function lines(input: Buffer, size: number, maxLength = 512): string[] {
  const found: string[] = [];
  const reader = new CommandLines();
  for (let from = 0; from < input.length; from += size) {
    const chunk = input.subarray(from, from + size);
    for (let at = 0; at < chunk.length; at = reader.end) {
      const line = reader.next(chunk, at, maxLength);
      if (line !== undefined) found.push(line.problem ?? `${line.ascii ? '' : '8bit '}${line.text}`);
    }
  }
  if (reader.unfinished) found.push('unfinished');
  return found;
}

const long = 'x'.repeat(510);
const TABLE: [name: string, input: string, found: string[]][] = [
  ['empty line', '\r\n', ['']],
  ['two lines', 'NOOP\r\nQUIT\r\n', ['NOOP', 'QUIT']],
  ['bare LF', 'NOOP\nQUIT\r\n', ['bare-lf', 'QUIT']],
  ['LF alone', '\n', ['bare-lf']],
  ['bare CR', 'NO\rOP\r\nQUIT\r\n', ['bare-cr', 'QUIT']],
  ['CR CR LF', 'NOOP\r\r\n', ['bare-cr']],
  ['NUL', 'NO\0OP\r\n', ['nul']],
  ['as long as may be', `${long}\r\nQUIT\r\n`, [long, 'QUIT']],
  ['one too long', `${long}x\r\nQUIT\r\n`, ['too-long', 'QUIT']],
  ['far too long', `${long.repeat(20)}\r\nQUIT\r\n`, ['too-long', 'QUIT']],
  ['UTF-8', 'MAIL FROM:<ü@x>\r\n', ['8bit MAIL FROM:<ü@x>']],
  ['no line end', 'QUIT', ['unfinished']],
  ['no line end and too long', long.repeat(3), ['unfinished']],
];

for (const [name, input, found] of TABLE) {
  test(`command line: ${name}`, () => {
    for (const size of [100_000, 1, 2, 7]) assert.deepEqual(lines(Buffer.from(input), size), found);
  });
}

test('octets that are not UTF-8 show as such', () => {
  assert.deepEqual(lines(Buffer.from([0xfc, 0x0d, 0x0a]), 1), ['8bit \ufffd']);
});
