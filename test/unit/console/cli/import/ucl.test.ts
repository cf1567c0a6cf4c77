import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject, parseUcl, type UclValue } from '#services/console/cli/import/ucl.ts';

const plain = (value: UclValue): unknown => {
  if (Array.isArray(value)) return value.map(plain);
  return isObject(value) ? Object.fromEntries([...value.entries].map(([k, e]) => [k, plain(e.value)])) : value;
};
const read = (text: string): unknown => plain(parseUcl(text, 'x.conf'));

for (const [text, value] of [
  ['', {}],
  ['a = 1; b: "x"\nc y', { a: '1', b: 'x', c: 'y' }],
  ['path = "/x/$domain.$selector.key"; # comment; b = 2', { path: '/x/$domain.$selector.key' }],
  ['a = /x/#y', { a: '/x/' }],
  ["a = 'it \\n'", { a: 'it \\n' }],
  ['a = "q\\"uote # not a comment"', { a: 'q"uote # not a comment' }],
  ['/* a = 1;\n b = 2 */ c = 3', { c: '3' }],
  [
    'domain { example.com { selector = "s" } b.example {} }',
    { domain: { 'example.com': { selector: 's' }, 'b.example': {} } },
  ],
  ['domain "example.com" { selector = s }', { domain: { 'example.com': { selector: 's' } } }],
  ['"domain" = { "example.com": { } }', { domain: { 'example.com': {} } }],
  ['s [ { a = 1; }, { a: 2 }\n]', { s: [{ a: '1' }, { a: '2' }] }],
  ['/* a /* b */ c */ d = 4 /* e */', { d: '4' }],
  ['a = 1; a = 2; a = 3', { a: ['1', '2', '3'] }],
  ['d { x { a = 1 } } d { y { a = 2 } }', { d: [{ x: { a: '1' } }, { y: { a: '2' } }] }],
  ['s = [a, "b"]; t = 1', { s: ['a', 'b'], t: '1' }],
] as [string, unknown][]) {
  test(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(read(text), value));
}

test('lines are those of the names; macros are handed back', () => {
  const file = parseUcl('# one\na = 1\n\n.include(try=true) "x.conf"\nb {\n  c = 2\n}\n', 'x.conf');
  assert.equal(file.entries.get('a')?.line, 2);
  assert.deepEqual(file.macros, [{ line: 4, text: '.include(try=true) "x.conf"' }]);
  const b = file.entries.get('b')?.value ?? '';
  assert.equal(isObject(b) && b.entries.get('c')?.line, 6);
});

for (const [text, words] of [
  ['a {\n b = 1\n', /^x\.conf:1: the \{ is never closed$/],
  ['a = [ 1', /^x\.conf:1: the \[ of a is never closed$/],
  ['}', /a \} closes nothing/],
  ['\na = "x\n"', /^x\.conf:2: a text that begins with " does not end in its line$/],
  ['a = <<EOD\nx\nEOD', /^x\.conf:1: a is a here-document/],
  ['a = b c', /"c" after a is not understood/],
  ['a;', /a has no value/],
  ['a =', /a has no value/],
  ['= 3', /"= 3" is not understood/],
  ['/* a', /a comment begins and does not end/],
  ['/* a /* b */', /a comment begins and does not end/],
  ['a{'.repeat(100_000), /x\.conf:1: a stands in more than 50 blocks/],
  [`a = ${'['.repeat(100_000)}`, /more than 50 blocks/],
  ['a = "x" "y"', /after a is not understood/],
] as [string, RegExp][]) {
  test(`refuses ${JSON.stringify(text.slice(0, 40))} with its line`, () => {
    assert.throws(() => read(text), { code: 'ucl-syntax', message: words });
  });
}

test('no text makes it hang or fail in another way', () => {
  const parts = ['a', '=', '{', '}', '[', ']', '"', "'", ';', '\n', '#', '/*', '*/', '.', '\\', ' ', '<<', '$x', ','];
  let state = 7;
  const random = (n: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state % n;
  };
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: 1 + random(9) }, () => parts[random(parts.length)]).join('');
    try {
      read(text);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ucl-syntax', text);
    }
  }
});
