import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  brokenCommands,
  brokenLinks,
  brokenOptions,
  brokenScripts,
  brokenYaml,
  lostPages,
  missingPaths,
  parseDocs,
  unknownReplies,
  unknownSettings,
} from './checks.ts';
import { loadProgram } from './program.ts';
import { commandsOf, sealpostArguments } from './shell.ts';

/** A test of the checks: each is shown a document that lies, and one that does not. */

const page = (...lines: string[]) => parseDocs([['docs/a.md', lines.join('\n')]]);
const block = (language: string, ...lines: string[]) => page(`\`\`\`${language}`, ...lines, '```');
const program = await loadProgram();

test('links to files and headings that are not there', () => {
  const docs = parseDocs([
    [
      'docs/a.md',
      '# A title, and more\n[b](b.md#two) [c](../README.md) [d](#a-title-and-more) [e](https://example.com/x#y)',
    ],
    ['docs/b.md', '# One\n`[no](link.md)`\n```sh\n# Two\n```\n[away](c.md) [none](#two)\n'],
    ['README.md', '[a](docs/a.md)'],
  ]);
  assert.deepEqual(
    brokenLinks(docs, (path) => docs.has(path)),
    [
      'docs/a.md:2: docs/b.md has no heading #two',
      'docs/b.md:6: there is no docs/c.md',
      'docs/b.md:6: docs/b.md has no heading #two',
    ],
  );
});

test('documents that nothing links to', () => {
  const docs = parseDocs([
    ['README.md', '[a](docs/a.md#x)'],
    ['docs/a.md', ''],
    ['docs/b.md', ''],
  ]);
  assert.deepEqual(lostPages(docs), ['docs/b.md']);
});

describe('commands', () => {
  for (const line of [
    'sealpost queue list --state deferred   # a remark: sealpost nonsense',
    'sealpost queue retry --domain example.net && npx sealpost status --json',
    'HOSTNAME=$(hostname -s) sealpost keys create example.com s1 ed25519 --config "/etc/a b.yaml" > out',
    'docker-compose -f compose.yaml exec -T policy sealpost users add alice --address alice@sealpost.test',
    'docker-compose run --rm operator keys list',
    'docker-compose run --rm toolbox keys lost',
    'useradd --system --home-dir /etc/sealpost sealpost',
    'sealpost keymgmt create nek edge2',
    'sealpost start router listener &',
    'sealpost queue show <id>',
  ]) {
    test(`${line} is right`, async () => assert.deepEqual(await brokenCommands(block('sh', line), program), []));
  }

  for (const [line, objection] of [
    ['sealpost queue lst', /unknown command 'lst'/],
    ['sealpost nonsense', /unknown command 'nonsense'/],
    ['sealpost queue list --stat deferred', /unknown option '--stat'/],
    ['sealpost queue list --state asleep', /'asleep' is invalid/],
    ['sealpost keys create example.com', /missing required argument 'selector'/],
    ['sealpost keys create example.com s1 rsa-512', /'rsa-512' is invalid/],
    ['sealpost keys schedule example.com --every often', /not a number of days/],
    ['sealpost start ruter', /'ruter' is invalid/],
    ['sealpost users list alice', /too many arguments/],
    ['sealpost keymgmt create nek', /no form of keymgmt/],
    ['cd /etc/sealpost; sealpost statuss', /unknown command 'statuss'/],
    ['docker-compose run --rm operator keys lost', /unknown command 'lost'/],
    ['docker-compose exec policy sealpost users ad alice', /unknown command 'ad'/],
  ] as const) {
    test(`${line} is not`, async () => {
      const complaints = await brokenCommands(block('sh', line), program);
      assert.equal(complaints.length, 1);
      assert.match(complaints[0] ?? '', objection);
    });
  }

  test('the command of a systemd unit', async () => {
    const docs = block(
      'ini',
      '[Service]',
      'ExecStart=/usr/local/bin/sealpost strt --config /etc/sealpost/sealpost.yaml',
    );
    assert.match((await brokenCommands(docs, program))[0] ?? '', /^docs\/a\.md:3: .*unknown command 'strt'/);
  });

  test('commands that the text mentions may leave arguments out, and must exist', async () => {
    const right = page('`keys create`, `sealpost doctor`, `sealpost queue`, `queue.copies`, `start`, `cluster { … }`');
    assert.deepEqual(await brokenCommands(right, program), []);
    const wrong = page('`keys make` and `sealpost keys', 'create --weak`');
    assert.deepEqual(
      (await brokenCommands(wrong, program)).map((complaint) => complaint.split(': ', 2).join(': ')),
      ['docs/a.md:1: sealpost keys make', 'docs/a.md:1: sealpost keys create --weak'],
    );
  });

  test('options that the text mentions', () => {
    const docs = page('`--watch --json`, `--scale`, `--help`, `--side-by-side 2d`, `--wach`');
    assert.deepEqual(brokenOptions(docs, program), ['docs/a.md:1: no command has the option --wach']);
  });

  test('a line of shell is taken apart at its operators', () => {
    assert.deepEqual(commandsOf('a \'b c\' && d --e="f g" | h; i # j'), [['a', 'b c'], ['d', '--e=f g'], ['h'], ['i']]);
    assert.deepEqual(sealpostArguments(['A=b', '/usr/bin/sealpost', 'status', '>', 'x']), ['status']);
    assert.equal(sealpostArguments(['ls', 'sealpost']), undefined);
  });
});

test('scripts that package.json does not have', () => {
  const docs = page('`npm run check`', '```sh', 'npm run chek', '```');
  assert.deepEqual(brokenScripts(docs, new Set(['check'])), ['docs/a.md:3: package.json has no script chek']);
});

describe('configurations', () => {
  test('sections stand among others, a whole one stands alone', async () => {
    assert.deepEqual(await brokenYaml(block('yaml', 'queue: { copies: 2 }')), []);
    assert.deepEqual(await brokenYaml(block('yaml', 'node: { name: a }', 'listeners: []', 'queue: { copies: 2 }')), [
      'docs/a.md:2: queue.copies: the second copy goes to another node: name NATS servers in bus.servers',
    ]);
  });

  test('unknown options, bad values and broken YAML', async () => {
    assert.match((await brokenYaml(block('yaml', 'queue: { copys: 2 }')))[0] ?? '', /^docs\/a\.md:2: queue\.copys: /);
    assert.match(
      (await brokenYaml(block('yaml', 'queue: { expire: 5 }')))[0] ?? '',
      /queue\.expire: expected a duration/,
    );
    assert.equal((await brokenYaml(block('yaml', 'queue: { copies: 2'))).length, 1);
  });

  test('users files', async () => {
    assert.deepEqual(await brokenYaml(block('yaml users', 'aliases: { a@example.com: [b@example.com] }')), []);
    assert.match((await brokenYaml(block('yaml users', 'alias: {}')))[0] ?? '', /alias/);
  });

  test('options that the text mentions', () => {
    const docs = page(
      '`queue.copies: 2`, `dns.zones[].update`, `rates.users`, `node.ts`, `compose.yaml`, `queue.copys`',
    );
    assert.deepEqual(unknownSettings(docs), ['docs/a.md:1: the configuration has no queue.copys']);
  });
});

test('files, folders and tests that are not there', () => {
  const docs = page(
    '`services/<name>/contract.ts`, `test/unit/gone.ts`, `kill.scenario`, `/etc/sealpost`, `sealpost.test`',
  );
  const there = ['services/*/contract.ts', 'test/**/kill.scenario.ts'];
  assert.deepEqual(
    missingPaths(docs, (pattern) => there.includes(pattern)),
    ['docs/a.md:1: there is no test/unit/gone.ts'],
  );
});

test('replies that nothing gives', () => {
  const source = "reply(550, '5.1.1', 'No such user here'); reply(451, '4.4.3', `DNS gave no answer for ` + name)";
  const docs = page(
    '`550 5.1.1 No such user here`, `451 4.4.3 DNS gave no answer for …`, `550 5.1.1 Nobody`, `451 4.4.9 …`',
  );
  assert.deepEqual(unknownReplies(docs, source), [
    'docs/a.md:1: nothing replies 550 5.1.1 Nobody',
    'docs/a.md:1: nothing replies 451 4.4.9 …',
  ]);
});
