import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { planOpendkim } from '#services/console/cli/import/opendkim.ts';
import type { ImportPlan } from '#services/console/cli/import/plan.ts';
import { planRspamd } from '#services/console/cli/import/rspamd.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What tables and configurations of other signers come to. The keys themselves are not read here. */

async function folder(files: Record<string, string>) {
  const temp = await tempDir('tables');
  for (const [name, text] of Object.entries(files)) {
    const file = join(temp.path, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text.replaceAll('HERE', temp.path));
  }
  return temp;
}

/** A plan as short texts. Files without the folder they are in. */
function shorten({ keys, remarks, domains }: ImportPlan, root: string) {
  return {
    keys: keys.map(
      ({ domain, selector, key, activate }) =>
        `${selector} ${domain} ${'file' in key ? key.file.replace(`${root}/`, '') : `text ${key.text}`}${activate === false ? ' idle' : ''}`,
    ),
    problems: remarks.filter((r) => r.problem).map((r) => `${r.place}: ${r.text}`),
    notes: remarks.filter((r) => !r.problem).map((r) => `${r.place}: ${r.text}`),
    domains: domains.map(({ name, signAs }) => `${name}=${signAs}`),
  };
}

const KEYS = 'k1 example.com:s1:/keys/one # the first\n\n  # a comment\nk2\texample.org:s2:./two\r\n';

type Expected = { keys: string[]; problems?: RegExp[]; notes?: RegExp[]; domains?: string[] };

for (const [what, keyTable, signingTable, expected] of [
  ['a table alone', KEYS, undefined, { keys: ['s1 example.com /keys/one', 's2 example.org two'] }],
  [
    'domains as patterns, of both kinds',
    KEYS,
    '*@example.com k1\nexample.org k2\n*@sub.example.com k1\n.example.org k2\n',
    { keys: ['s1 example.com /keys/one', 's2 example.org two'] },
  ],
  [
    'a sender that is signed as another domain',
    KEYS,
    '*@Alias.Example k1\n*@example.org k2:%\n',
    {
      keys: ['s1 example.com /keys/one', 's2 example.org two'],
      notes: [/^SigningTable:1: mail of alias\.example is signed as example\.com/, /:2: the signer % is not taken/],
      domains: ['alias.example=example.com'],
    },
  ],
  [
    'a key that nobody uses',
    KEYS,
    '*@example.com k1\n',
    { keys: ['s1 example.com /keys/one', 's2 example.org two idle'], notes: [/^KeyTable:4: no line .* uses k2/] },
  ],
  [
    'senders that are no domain',
    KEYS,
    'joe@example.com k1\n*-x@example.com k1\n* k2\n',
    {
      keys: ['s1 example.com /keys/one', 's2 example.org two'],
      notes: [/:1: joe@example\.com is not a whole/, /:2: \*-x@/, /:3: \* signs for every sender as example\.org/],
    },
  ],
  [
    'names that are not there, lines that say nothing',
    'k1 example.com:s1\nk2\n',
    '*@example.com k1\n*@example.org\n',
    {
      keys: [],
      problems: [
        /^KeyTable:1: "k1" is not followed by/,
        /^KeyTable:2: "k2" is not/,
        /^SigningTable:1: the KeyTable has no name k1/,
        /^SigningTable:2: "\*@example\.org" is not followed by the name of a key/,
      ],
    },
  ],
  [
    '% as the domain, for senders that are named',
    'k %:s1:HERE/keys/%/s1.private\n',
    '*@example.com k\n*@a.example k\n.sub.example k\njoe@b.example k\n',
    {
      keys: ['s1 example.com keys/example.com/s1.private', 's1 a.example keys/a.example/s1.private'],
      problems: [/:3: \.sub\.example is not one domain/, /:4: joe@b\.example is not one domain/],
    },
  ],
  [
    '% as the domain, for every sender: those whose files are there',
    'k %:s1:HERE/keys/%/s1.private\n',
    '* k\n',
    {
      keys: ['s1 a.example keys/a.example/s1.private', 's1 b.example keys/b.example/s1.private'],
      notes: [/^KeyTable:1: .* are taken, a\.example, b\.example$/],
    },
  ],
  [
    '% as the domain without a SigningTable',
    'k %:s1:./keys/%/s1.private\nl %:s2:/keys/same\nm %:s3:HERE/none/%\n',
    undefined,
    {
      keys: ['s1 a.example keys/a.example/s1.private', 's1 b.example keys/b.example/s1.private'],
      notes: [/are taken/],
      problems: [/^KeyTable:2: .* which ones these are is not known/, /^KeyTable:3: .*none does not exist$/],
    },
  ],
  [
    '% as the name of the key',
    'example.com example.com:s1:/a\nalias.example example.com:s1:/a\nexample.org %:s2:/keys/%\n',
    '*@* %\n',
    {
      keys: ['s1 example.com /a', 's2 example.org /keys/example.org'],
      domains: ['alias.example=example.com'],
    },
  ],
  [
    'a sender with two signers: the first, as OpenDKIM does',
    KEYS,
    '*@example.com k1\n*@example.com k2\n',
    {
      keys: ['s1 example.com /keys/one', 's2 example.org two'],
      problems: [/:2: mail of example\.com is signed as example\.com by a line above/],
    },
  ],
  [
    'one selector with two keys, and a key that stands in the table itself',
    'a example.com:s1:/a\nb EXAMPLE.com:S1:/b\nc example.com:s3:MIIB==\n',
    undefined,
    {
      keys: ['s1 example.com /a', 's3 example.com text MIIB=='],
      problems: [/^KeyTable:2: gives S1 of EXAMPLE\.com another/],
    },
  ],
] as [string, string, string | undefined, Expected][]) {
  test(`OpenDKIM: ${what}`, async () => {
    await using temp = await folder({
      KeyTable: keyTable,
      SigningTable: signingTable ?? '',
      'keys/a.example/s1.private': '',
      'keys/b.example/s1.private': '',
      'keys/c.example/other.private': '',
    });
    const signing = signingTable === undefined ? undefined : `refile:${join(temp.path, 'SigningTable')}`;
    const plan = shorten(await planOpendkim(join(temp.path, 'KeyTable'), signing), temp.path);
    check(plan, expected);
  });
}

function check(plan: ReturnType<typeof shorten>, { keys, problems = [], notes = [], domains = [] }: Expected): void {
  assert.deepEqual(plan.keys, keys);
  assert.deepEqual(plan.domains, domains);
  for (const [texts, words] of [
    [plan.problems, problems],
    [plan.notes, notes],
  ] as const) {
    assert.equal(texts.length, words.length, texts.join('\n'));
    for (const [i, word] of words.entries()) assert.match(texts[i] ?? '', word);
  }
}

test('OpenDKIM: lists on the command line are taken, databases and programs are not', async () => {
  const plan = await planOpendkim('csl:k1=example.com:s1:/a, k2=example.org:s2:/b', 'csl:*@example.com=k1');
  check(shorten(plan, '/none'), {
    keys: ['s1 example.com /a', 's2 example.org /b idle'],
    notes: [/^--key-table:2: no line/],
  });
  for (const spec of ['dsn:mysql://x', 'ldap://x', 'lua:/x.lua', 'db:/x', '/etc/keys.db']) {
    await assert.rejects(planOpendkim(spec, undefined), {
      code: 'not-taken',
      message: /write its content into a file/,
    });
  }
  await assert.rejects(planOpendkim('/none/KeyTable', undefined), { code: 'file-unreadable' });
});

for (const [what, conf, maps, expected] of [
  [
    'a file of local.d: everything by default path',
    'path = "HERE/dkim/$domain.$selector.key";\nselector = "dkim";\n',
    {},
    { keys: ['dkim a.example dkim/a.example.dkim.key', 'dkim sub.b.example dkim/sub.b.example.dkim.key'] },
  ],
  [
    'the fallback is off',
    'path = "HERE/dkim/$domain.$selector.key"\ntry_fallback = false\ndomain { c.example { selector = x } }',
    {},
    { keys: ['x c.example dkim/c.example.x.key'] },
  ],
  [
    'blocks of domains, old and new',
    `dkim_signing {
  try_fallback = no;
  path = "HERE/\${domain}/$selector.key";
  domain {
    a.example { selector = "one"; path = "/k/one.key"; }
    b.example { selectors [ { selector = two; path = "/k/$selector" }, { selector = three } ] }
    c.example { path = "/k/c"; strange = 1 }
    d.example = 1
  }
  .include(try=true) "$LOCAL_CONFDIR/local.d/dkim_signing.conf"
}`,
    {},
    {
      keys: [
        'one a.example /k/one.key',
        'two b.example /k/two',
        'three b.example b.example/three.key',
        'dkim c.example /k/c',
      ],
      problems: [/^dkim_signing\.conf:7: strange of c\.example/, /:8: d\.example has no block/],
      notes: [/^dkim_signing\.conf:10: \.include.* is not followed/],
    },
  ],
  [
    'maps, and a map that fills what a block leaves open',
    `try_fallback = false
selector_map = "HERE/selectors.map"; path_map = "file://HERE/paths.map";
domain { b.example { path = "/k/b" } }`,
    {},
    {
      keys: [
        'sb b.example /k/b',
        'sa a.example /k/a.example.sa',
        'sc c.example /var/lib/rspamd/dkim/c.example.sc.key',
        'dkim d.example /k/d',
      ],
      problems: [/^selectors\.map:5: e\.example has no value/],
    },
  ],
  [
    'maps alone',
    undefined,
    { selectors: 'HERE/selectors.map' },
    {
      keys: [
        'sa a.example /var/lib/rspamd/dkim/a.example.sa.key',
        'sb b.example /var/lib/rspamd/dkim/b.example.sb.key',
        'sc c.example /var/lib/rspamd/dkim/c.example.sc.key',
      ],
      problems: [/e\.example has no value/],
    },
  ],
  [
    'settings that change nothing, that mean nothing, and that nobody knows',
    'enabled = true; use_esld = yes; use_redis = false; use_domain = "envelope"; sign_local = true; odd = 1; path = [1]; use_vault = true; key_table = "/x"; try_fallback = off; selector_map = "https://x/y"; path_map = "$OTHER/x"',
    {},
    {
      keys: [],
      notes: [/use_domain is not taken: Sealpost signs for the domain of the From/, /sign_local is not taken/],
      problems: [
        /odd is not known: not taken/,
        /path is not one text/,
        /use_vault: keys in Vault are not read/,
        /key_table and signing_table only together/,
        /https:\/\/x\/y is fetched from elsewhere/,
        /\$OTHER is not known/,
      ],
    },
  ],
  [
    'a block twice, and a domain twice',
    `try_fallback = false
domain { a.example { selector = one; path = "/k/1" } }
domain { A.example { selector = two; path = "/k/2" } b.example { selector = b } b.example { selector = c; path = "/k/c" } }
selector = x; selector = y`,
    {},
    {
      keys: [
        'one a.example /k/1',
        'two a.example /k/2',
        'b b.example /var/lib/rspamd/dkim/b.example.b.key',
        'c b.example /k/c',
      ],
      problems: [/^dkim_signing\.conf:4: selector is not one text/],
    },
  ],
  [
    'maps that stand in the file itself',
    `try_fallback = false
selector_map = [ "a.example sa", "b.example sb", "A.example other", "c.example" ];
path_map = [ "a.example /k/$selector" ];`,
    {},
    {
      keys: ['sa a.example /k/sa', 'sb b.example /var/lib/rspamd/dkim/b.example.sb.key'],
      problems: [
        /^dkim_signing\.conf:2: c\.example has no value/,
        /^dkim_signing\.conf:2: A\.example stands in it already: only the first is taken/,
      ],
    },
  ],
  [
    'tables of OpenDKIM, which keep it from everything else',
    `signing_table = [ "*@a.example ka", "*@*.a.example ka", "*@b.example ka" ];
key_table = "HERE/KeyTable";
domain { c.example { selector = x } }`,
    {},
    {
      keys: ['s1 a.example k1.pem'],
      notes: [/^dkim_signing\.conf:1: mail of b\.example is signed as a\.example/],
      domains: ['b.example=a.example'],
    },
  ],
  [
    'one table of OpenDKIM alone',
    'try_fallback = false; key_table = [ "k a.example:s:/k/1" ]; signing_table = { a = 1 }',
    {},
    { keys: [], problems: [/signing_table is neither a text nor a list/, /only together: not taken/] },
  ],
  [
    'no domain can be found',
    'path = "HERE/none/$domain.key"',
    {},
    { keys: [], problems: [/^dkim_signing\.conf:1: no domain is named, and file .*none does not exist/] },
  ],
  ['one key for everybody', 'path = "/k/key"', {}, { keys: [], problems: [/is that of every domain/] }],
  ['a folder that only rspamd knows', 'path = "$X/$domain.key"', {}, { keys: [], problems: [/\$X is not known/] }],
] as [string, string | undefined, { selectors?: string; paths?: string }, Expected][]) {
  test(`rspamd: ${what}`, async () => {
    await using temp = await folder({
      'dkim_signing.conf': conf ?? '',
      'dkim/a.example.dkim.key': '',
      'dkim/sub.b.example.dkim.key': '',
      'dkim/c.example.other.key': '',
      'selectors.map': 'a.example sa\nB.example sb # x\n\nc.example sc\ne.example\n',
      KeyTable: 'ka a.example:s1:./k1.pem\n',
      'paths.map': 'a.example /k/$domain.$selector\nd.example /k/d\n',
    });
    const selectors = maps.selectors?.replace('HERE', temp.path);
    const file = conf === undefined ? undefined : join(temp.path, 'dkim_signing.conf');
    check(shorten(await planRspamd({ conf: file, selectors }), temp.path), expected);
  });
}

test('rspamd: nothing named is wrong usage, a map that is not there is an error', async () => {
  await assert.rejects(planRspamd({}), { code: 'usage' });
  await assert.rejects(planRspamd({ paths: '/none/x.map' }), { code: 'file-unreadable' });
});
