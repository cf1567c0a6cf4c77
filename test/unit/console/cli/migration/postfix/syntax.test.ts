// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of Postfix, in which $ begins a name.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { expand } from '#services/console/cli/migration/postfix/files/expansion.ts';
import { parseMainCf, Settings, words } from '#services/console/cli/migration/postfix/files/main-cf.ts';
import { parseMasterCf } from '#services/console/cli/migration/postfix/files/master-cf.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** The syntax of main.cf and master.cf, beside Postfix's own reading where it is installed. */

const values = (text: string): Record<string, string> =>
  Object.fromEntries([...parseMainCf(text).parameters.values()].map(({ name, value }) => [name, value]));

for (const [what, text, expected] of [
  ['blanks around =', 'a=1\nb = 2\nc  =  3  \n', { a: '1', b: '2', c: '3' }],
  ['a continuation', 'a = 1,\n  2,\n\t3\nb = 4', { a: '1, 2, 3', b: '4' }],
  ['comments within a value', 'a = 1\n# no\n   # no\n\n  2\n', { a: '1 2' }],
  ['# is only a comment at the beginning', 'a = 1 # 2', { a: '1 # 2' }],
  ['CRLF', 'a = 1\r\n  2\r\nb = 3\r\n', { a: '1 2', b: '3' }],
  ['an empty value', 'a =\nb=', { a: '', b: '' }],
  ['= in a value', 'a = b=c', { a: 'b=c' }],
  ['the last one counts', 'a = 1\na = 2', { a: '2' }],
] as [string, string, Record<string, string>][]) {
  test(`main.cf: ${what}`, () => assert.deepEqual(values(text), expected));
}

test('main.cf: what is no parameter, or stands there twice, is told', () => {
  const { stray } = parseMainCf('smtpd_helo_required\na = 1\n= 2\na = 3\n');
  assert.deepEqual(
    stray.map(({ line, text }) => [line, text]),
    [
      [1, 'smtpd_helo_required'],
      [3, '= 2'],
      [2, 'a = 1'],
    ],
  );
});

const names: Record<string, string> = {
  a: 'A',
  empty: '',
  nested: '<$a>',
  one: '$two',
  two: '$one',
  bomb: '$bomb1$bomb1$bomb1$bomb1$bomb1$bomb1$bomb1$bomb1',
  ...Object.fromEntries(Array.from({ length: 18 }, (_, i) => [`bomb${i + 1}`, `$bomb${i + 2}`.repeat(8)])),
};

for (const [text, expected] of [
  ['$a b ${a} $(a)', 'A b A A'],
  ['$nested', '<A>'],
  ['$$a', '$a'],
  ['$unknown.', '.'],
  ['${a?yes}${empty?no}', 'yes'],
  ['${a:no}${empty:yes}', 'yes'],
  ['${a?{yes}:{no}} ${empty?{yes}:{no $a}}', 'yes no A'],
  ['${a ? {x y} : {z}}', 'x y'],
  ['${{$a} == {A} ? {same} : {other}}', 'same'],
  ['${{$a} != {A} ? {other} : {same}}', 'same'],
  ['${{10} > {9} ? {more} : {less}}', 'more'],
  ['${stress?{10}:{300}}s', '300s'],
  ['${a', '${a'],
  ['100 $', '100 $'],
] as [string, string][]) {
  test(`expansion of ${text}`, () => assert.equal(expand(text, { raw: (name) => names[name] }), expected));
}

test('values that refer to one another in a circle, or to billions, come to an end', () => {
  assert.match(expand('$one', { raw: (name) => names[name] }), /^\$/);
  assert.ok(expand('$bomb', { raw: (name) => names[name] }).length < 10_000_000);
});

test('words of a list', () => {
  assert.deepEqual(words('a, b\tc,,d { e, f } g'), ['a', 'b', 'c', 'd', '{ e, f }', 'g']);
});

test('master.cf: services with their settings', () => {
  const { services, stray } = parseMasterCf(
    [
      '# service type',
      'smtp inet n - y - - smtpd',
      'submission inet n - - - - /usr/lib/postfix/smtpd',
      '  -o a=1',
      '# -o b=2',
      '  -o { c = d, {e} }   -o f=g -v',
      'broken line',
    ].join('\n'),
  );
  assert.deepEqual(
    services.map(({ line, name, command, own }) => [line, name, command, Object.fromEntries(own)]),
    [
      [2, 'smtp', 'smtpd', {}],
      [3, 'submission', 'smtpd', { a: '1', c: 'd, {e}', f: 'g' }],
    ],
  );
  assert.deepEqual(stray, [{ line: 7, text: 'broken line' }]);
});

const squeezed = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** `name = value` of each line that postconf prints. */
const printed = (folder: string, ...args: string[]): Map<string, string> =>
  new Map(
    execFileSync(locate('postconf') ?? 'postconf', ['-c', folder, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(' =')), line.slice(line.indexOf('=') + 1)]),
  );

for (const fixture of ['relay', 'submission', 'opendkim']) {
  test(`Postfix reads main.cf of ${fixture} as this import does, also expanded`, needs('postconf'), async () => {
    await using temp = await tempDir('postfix');
    const text = await readFile(join(ROOT, 'test/kit/postfix', fixture, 'main.cf'), 'utf8');
    await writeFile(
      join(temp.path, 'main.cf'),
      `${text}data_directory = /var/lib/postfix\nconfig_directory = /etc/postfix\n`,
    );
    await writeFile(join(temp.path, 'master.cf'), '');
    const { parameters } = parseMainCf(await readFile(join(temp.path, 'main.cf'), 'utf8'));
    const settings = new Settings(parameters);
    const raw = printed(temp.path, '-n');
    const expanded = printed(temp.path, '-nx');
    assert.ok(raw.size > 8);
    for (const [name, value] of raw) assert.equal(squeezed(parameters.get(name)?.value ?? '-'), squeezed(value), name);
    for (const [name, value] of expanded) assert.equal(squeezed(settings.text(name)), squeezed(value), name);
    // What postconf -n prints is a main.cf too.
    const again = values([...raw].map(([name, value]) => `${name} =${value}\n`).join(''));
    for (const [name, value] of raw) assert.equal(squeezed(again[name] ?? '-'), squeezed(value), name);
  });
}
