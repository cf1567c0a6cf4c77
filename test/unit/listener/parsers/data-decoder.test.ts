import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataDecoder, type Defect } from '#services/listener/parsers/data-decoder.ts';

type Result = { text: string; rest: string | undefined; defects: boolean; defect: Defect | undefined };

/** Decode input cut at `cuts`; `rest` is what follows the end, undefined when there was no end. */
function decode(input: string, cut: () => number): Result {
  const bytes = Buffer.from(input, 'latin1');
  let text = '';
  const decoder = new DataDecoder((piece) => {
    text += piece.toString('latin1');
  });
  for (let at = 0; at < bytes.length; ) {
    const to = Math.min(bytes.length, at + Math.max(1, cut()));
    const stop = decoder.write(bytes.subarray(0, to), at);
    if (decoder.ended) {
      return { text, rest: input.slice(stop), defects: decoder.defect !== undefined, defect: decoder.defect };
    }
    assert.equal(stop, to, 'a message that goes on takes the whole chunk');
    at = to;
  }
  return { text, rest: undefined, defects: decoder.defect !== undefined, defect: decoder.defect };
}

/** The same by string search, for whole inputs: slow and plain. */
function reference(input: string): Omit<Result, 'defect'> {
  const end = `\r\n${input}`.indexOf('\r\n.\r\n');
  const raw = end < 0 ? input : input.slice(0, end);
  const lines = `\r\n${raw}`.replace(/\r\n\./g, '\r\n').slice(2);
  return {
    text: lines,
    rest: end < 0 ? undefined : input.slice(end + 3),
    defects: /\r(?!\n)|(?<!\r)\n|\0/.test(raw),
  };
}

const whole = () => Number.MAX_SAFE_INTEGER;
const single = () => 1;

/** Input, decoded text, what follows the end (undefined: no end), defect. */
const TABLE: [name: string, input: string, text: string, rest: string | undefined, defect?: Defect][] = [
  ['empty message', '.\r\n', '', ''],
  ['plain', 'a\r\n\r\nb\r\n.\r\nQUIT\r\n', 'a\r\n\r\nb\r\n', 'QUIT\r\n'],
  ['transparency', '..\r\n..a\r\n...\r\n.b\r\n.\r\n', '.\r\n.a\r\n..\r\nb\r\n', ''],
  ['dot in a line', 'a.\r\n.\r\n', 'a.\r\n', ''],
  ['no end', 'a\r\n.', 'a\r\n', undefined],
  ['smuggle LF.LF', 'a\n.\nMAIL\r\n.\r\n', 'a\n.\nMAIL\r\n', '', 'bare-lf'],
  ['smuggle CRLF.LF', 'a\r\n.\nMAIL\r\n.\r\n', 'a\r\n\nMAIL\r\n', '', 'bare-lf'],
  ['smuggle LF.CRLF', 'a\n.\r\nMAIL\r\n.\r\n', 'a\n.\r\nMAIL\r\n', '', 'bare-lf'],
  ['smuggle CR.CR', 'a\r.\rMAIL\r\n.\r\n', 'a\r.\rMAIL\r\n', '', 'bare-cr'],
  ['smuggle CR.CRLF', 'a\r.\r\nMAIL\r\n.\r\n', 'a\r.\r\nMAIL\r\n', '', 'bare-cr'],
  ['smuggle CRLF.CR', 'a\r\n.\rMAIL\r\n.\r\n', 'a\r\n\rMAIL\r\n', '', 'bare-cr'],
  ['smuggle CRLF.CR CRLF', 'a\r\n.\r\r\nMAIL\r\n.\r\n', 'a\r\n\r\r\nMAIL\r\n', '', 'bare-cr'],
  ['smuggle CR LF NUL . CRLF', 'a\r\n\0.\r\nMAIL\r\n.\r\n', 'a\r\n\0.\r\nMAIL\r\n', '', 'nul'],
  ['smuggle CRLF . NUL CRLF', 'a\r\n.\0\r\nMAIL\r\n.\r\n', 'a\r\n\0\r\nMAIL\r\n', '', 'nul'],
  ['smuggle LF . CR LF', 'a\n.\r\n.\r\n', 'a\n.\r\n', '', 'bare-lf'],
  ['smuggle CR CRLF . CRLF', 'a\r\r\n.\r\nMAIL\r\n', 'a\r\r\n', 'MAIL\r\n', 'bare-cr'],
  ['smuggle LF CRLF . CRLF', 'a\n\r\n.\r\nMAIL\r\n', 'a\n\r\n', 'MAIL\r\n', 'bare-lf'],
  ['first line .LF', '.\nMAIL\r\n.\r\n', '\nMAIL\r\n', '', 'bare-lf'],
  ['first line .CR', '.\rMAIL\r\n.\r\n', '\rMAIL\r\n', '', 'bare-cr'],
  ['a defect behind the end is not the message’s', 'a\r\n.\r\n\0\n\r', 'a\r\n', '\0\n\r'],
];

for (const [name, input, text, rest, defect] of TABLE) {
  test(`data: ${name}`, () => {
    for (const cut of [whole, single, () => 2, () => 3]) {
      assert.deepEqual(decode(input, cut), { text, rest, defects: defect !== undefined, defect });
    }
  });
}

test('random input decodes as the plain reference does, whatever the cuts', () => {
  const alphabet = ['\r', '\n', '\r\n', '\r\n', '.', '.', 'a', '\0', '\r\n.\r\n', '\xe9'];
  for (let round = 0; round < 20_000; round++) {
    let input = '';
    for (let i = Math.floor(Math.random() * 14); i > 0; i--) {
      input += alphabet[Math.floor(Math.random() * alphabet.length)];
    }
    const expected = reference(input);
    for (const cut of [whole, single, () => 1 + Math.floor(Math.random() * 4)]) {
      const { defect: _, ...found } = decode(input, cut);
      // A message without an end: the decoder still holds back a dot or CR that may begin it.
      if (expected.rest === undefined) {
        assert.equal(found.rest, undefined, JSON.stringify(input));
        assert.ok(expected.text.startsWith(found.text), JSON.stringify(input));
      } else {
        assert.deepEqual(found, expected, JSON.stringify(input));
      }
    }
  }
});
