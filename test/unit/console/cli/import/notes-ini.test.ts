import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '#cluster/config/load.ts';
import { domainsYaml } from '#services/console/cli/import/domains-yaml.ts';
import { readNotesIni } from '#services/console/cli/import/notes-ini.ts';

/** The lines of Domino's documentation (DOMINO D5-D10), and those that are wrong. */

async function read(...lines: string[]) {
  const ini = readNotesIni(lines.join('\r\n'));
  const keys = ini.keys.map((k) => `${k.selector} ${k.domain}`);
  if (ini.domains.length === 0) return { ...ini, keys, entries: [] };
  // What is printed is a configuration, with a NEK for enforce.
  const yaml = `listeners: []\ncredentials: { nek: ./nek }\n${domainsYaml(ini.domains, new Set())}\n`;
  const loaded = await parseConfig(yaml, '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const entries = loaded.config.domains.map((d) => `${d.name} ${d.signing.mode} ${d['sign-as'] ?? '-'}`);
  return { ...ini, keys, entries };
}

for (const [what, lines, keys, entries] of [
  [
    'D5: a domain',
    ['DKIM_KEY_renovations.com=09262021'],
    ['09262021 renovations.com'],
    ['renovations.com best-effort -'],
  ],
  [
    'D6: a subdomain beside it, D10: enforce',
    ['DKIM_KEY_renovations.com=09262021', 'DKIM_KEY_sales.renovations.com=sales4321', 'RouterDKIMSigning=2'],
    ['09262021 renovations.com', 'sales4321 sales.renovations.com'],
    ['renovations.com enforce -', 'sales.renovations.com enforce -'],
  ],
  [
    'D7: two keys, D9: best effort',
    ['RouterDKIMSigning=1', 'DKIM_KEY_renovations.com=09262021,10042021'],
    ['09262021 renovations.com', '10042021 renovations.com'],
    ['renovations.com best-effort -'],
  ],
  [
    'D8: an alias, whose domain has no line of its own',
    ['DKIM_KEY_aliasrenovations.com=renovations.com;09262021', 'RouterDKIMSigning=2'],
    ['09262021 renovations.com'],
    ['aliasrenovations.com enforce renovations.com', 'renovations.com enforce -'],
  ],
  [
    'names in any case, blanks, U-labels',
    [' dkim_key_BÜCHER.example = Bücher.Example ; S1 , s1 ', 'ROUTERDKIMSIGNING = 1'],
    ['s1 xn--bcher-kva.example'],
    ['xn--bcher-kva.example best-effort -'],
  ],
] as [string, string[], string[], string[]][]) {
  test(what, async () => {
    const ini = await read('[Notes]', ...lines, 'KitType=2');
    assert.deepEqual(ini.keys, keys);
    assert.deepEqual(ini.entries, entries);
    assert.equal(ini.others, 2);
    assert.deepEqual(
      ini.lines.map((l) => l.line),
      lines.map((_, i) => i + 2),
    );
    assert.ok(ini.lines.every((l) => !l.problem && l.result !== ''));
  });
}

for (const [lines, words] of [
  [['DKIM_KEY_a.example=a;b;c'], /more than one semicolon/],
  [['DKIM_KEY_a.example='], /not taken: "" is not a selector/],
  [['DKIM_KEY_a.example=s1,,s2'], /not taken: "" is not a selector/],
  [['DKIM_KEY_a.example=a+b'], /"a\+b" is not a selector/],
  [['DKIM_KEY_=s1'], /not taken: "" cannot have a key/],
  [['DKIM_KEY_a.example=;s1'], /not taken: "" cannot have a key/],
  [['DKIM_KEY_a.example'], /has no =: not taken/],
  [['DKIM_LOG=1'], /is not known: not taken/],
  [['RouterDKIMSigning=3'], /3 is neither 1 nor 2/],
  [['DKIM_KEY_a.example=s1', 'DKIM_KEY_A.example=s2'], /stands in line 1 already/],
  [
    ['DKIM_KEY_a.example=b.example;s', 'DKIM_KEY_b.example=c.example;s'],
    /a\.example is to be signed as b\.example, which is signed as c\.example itself/,
  ],
] as [string[], RegExp][]) {
  test(`a line that cannot be taken over is told: ${lines.join(', ')}`, async () => {
    const ini = await read(...lines);
    assert.equal(ini.lines.length, lines.length);
    const problems = ini.lines.filter((l) => l.problem);
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.result ?? '', words);
  });
}

for (const [lines, words] of [
  [['; DKIM_KEY_a.example=s1'], /a comment/],
  [['RouterDKIMSigning=0'], /Domino does not sign/],
  [
    ['DKIM_KEY_b.example=a.example;s1', 'DKIM_KEY_a.example=s1,s2'],
    /sign-as: a\.example \}; Domino used s1 alone, Sealpost every active key of a\.example/,
  ],
] as [string[], RegExp][]) {
  test(`what differs is told: ${lines.join(', ')}`, async () => {
    const ini = await read(...lines);
    assert.match(ini.lines[0]?.result ?? '', words);
    assert.ok(ini.lines.every((l) => !l.problem));
  });
}
