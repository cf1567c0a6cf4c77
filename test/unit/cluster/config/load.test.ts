import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import { createSelfSigned } from '#cluster/certificate.ts';
import { loadConfig, parseConfig, requireConfig } from '#cluster/config/load.ts';
import { loadNeks } from '#cluster/config/nek.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealpost-load-'));
  await mkdir(join(folder, 'tls'));
  await mkdir(join(folder, 'secrets'));
  const pair = await createSelfSigned({ dns: ['mx1.example.com'] }, 30);
  const old = await createSelfSigned({ dns: ['mx1.example.com'] }, 1, new Date('2020-01-01'));
  for (const [name, text] of Object.entries({
    'tls/fullchain.pem': pair.certificate,
    'tls/key.pem': pair.key,
    'tls/old.pem': old.certificate,
    'tls/old-key.pem': old.key,
    'users.yaml': 'users: []\n',
    'secrets/nek.key': generateNek('edge'),
    'secrets/neks.key': `${generateNek('edge')}\n${generateNek('new')}`,
    'secrets/smarthost': 'pass word \r\n',
    'secrets/tsig': 'c2VjcmV0IG9mIHRoZSB6b25l\n',
  })) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
  }
});

after(() => rm(folder, { recursive: true }));

const EXAMPLE = `
node: { name: edge-1, hostname: mx1.example.com, data: ./data }
bus: { servers: [] }                       # empty: one process. nats://… : a cluster
listeners:
  - { name: mx,          kind: relay,      port: 25,  tls: starttls }
  - { name: submission,  kind: submission, port: 587, tls: starttls-required }
  - { name: submissions, kind: submission, port: 465, tls: implicit }
tls: { certificate: ./tls/fullchain.pem, key: ./tls/key.pem }
relay:                                     # closed by default
  allow: { hosts: [10.0.0.0/8], domains: [] }
  deny:  { hosts: ["*"], domains: ["*"] }
domains:
  - { name: example.com, local: true, signing: { mode: enforce } }
  - { name: alias.example, sign-as: example.com }
directory: { users: ./users.yaml }
routes:
  - { to: example.com, via: "lmtp://127.0.0.1:24" }
  - { to: "*", via: mx }
queue: { copies: 1, expire: 5d }
credentials: { nek: ./secrets/nek.key }
`;

async function accepted(text: string): Promise<{ config: Config; warnings: string[] }> {
  const loaded = await parseConfig(text, folder);
  assert.ok(loaded.ok, inspect(loaded));
  return loaded;
}

test('the example of the design loads, with paths from the folder of the file', async () => {
  const { config, warnings } = await accepted(EXAMPLE);
  assert.deepEqual(warnings, []);
  assert.equal(config.tls?.key, join(folder, 'tls/key.pem'));
  assert.equal(config.node.data, join(folder, 'data'));
  assert.equal(config.directory.users, join(folder, 'users.yaml'));
  assert.equal(config.credentials.nek, join(folder, 'secrets/nek.key'));
  assert.equal(config.queue.expire, 5 * 86_400_000);
  assert.equal(config.listeners[0]?.address, '::');
});

test('a folder of a maildir route is made absolute, other routes stay as written', async () => {
  const { config } = await accepted(
    'listeners: []\nroutes: [{ to: a.example, via: "maildir:./mail" }, { to: "*", via: mx }]',
  );
  assert.deepEqual(
    config.routes.map((r) => r.via),
    [`maildir:${join(folder, 'mail')}`, 'mx'],
  );
});

test('secrets come from files without their line end, from the environment, or stand in the text; none is printable', async () => {
  process.env['SEALPOST_TEST_SECRET'] = 'from the environment';
  const { config, warnings } = await accepted(`
listeners: []
bus: { servers: ["nats://127.0.0.1:4222"], user: edge, password: { env: SEALPOST_TEST_SECRET } }
routes:
  - { to: a.example, via: "smtp://me@relay.example", tls: required, password: { file: ./secrets/smarthost } }
  - { to: b.example, via: "smtp://me@relay.example", tls: required, password: in the text }
`);
  delete process.env['SEALPOST_TEST_SECRET'];
  assert.equal(config.bus.password?.reveal(), 'from the environment');
  assert.deepEqual(
    config.routes.map((r) => r.password?.reveal()),
    ['pass word ', 'in the text'],
  );
  assert.deepEqual(warnings, []);
  for (const text of [JSON.stringify(config), inspect(config, { depth: 9 })]) {
    assert.doesNotMatch(text, /from the environment|pass word|in the text/);
  }
});

test('the secret of a zone comes from its file, and is not printable', async () => {
  const { config, warnings } = await accepted(`
node: { hostname: mx1.example.com }
listeners: []
dns:
  zones:
    - { name: example.com, update: { server: 127.0.0.1, key: edge, secret: { file: secrets/tsig } } }
    - { name: example.org, servers: ["127.0.0.1:5300"] }
domains: [{ name: example.com, keys: { publish: update } }]
`);
  assert.deepEqual(warnings, []);
  assert.equal(config.dns.zones[0]?.update?.secret.reveal(), 'c2VjcmV0IG9mIHRoZSB6b25l');
  assert.equal(config.dns.zones[1]?.update, undefined);
  assert.doesNotMatch(`${JSON.stringify(config)} ${inspect(config, { depth: 9 })}`, /c2VjcmV0/);
});

const PUBLISHED: [string, string][] = [
  ['in the zone of the domain', 'domains: [{ name: a.example, keys: { publish: update } }]'],
  ['in a zone above it', 'domains: [{ name: b.a.example, keys: { publish: update } }]'],
  ['in a zone of its own', 'domains: [{ name: c.example, keys: { publish: update } }]'],
  ['by hand', 'domains: [{ name: z.example, keys: { publish: manual } }]'],
  ['behind CNAMEs', cname('a.example', '')],
  ['behind CNAMEs into a zone below', cname('keys.a.example', '')],
  ['behind CNAMEs, and each may sign', cname('a.example', 'signing: { selectors: [S1, s2] }, ')],
  ['nowhere', 'domains: [{ name: z.example, keys: { proof: none } }]'],
];

function cname(target: string, rest: string): string {
  return `domains: [{ name: z.example, ${rest}keys: { publish: cname, cname: { target: ${target}, selectors: [s1, s2] } } }]`;
}

for (const [where, domains] of PUBLISHED) {
  test(`keys may be published ${where}`, async () => {
    const update = 'update: { server: 127.0.0.1, key: edge, secret: { file: secrets/tsig } }';
    const zones = ['a.example', '_domainkey.c.example'].map((name) => `{ name: ${name}, ${update} }`);
    await accepted(`listeners: []\ndns: { zones: [{ name: example }, ${zones.join(', ')}] }\n${domains}\n`);
  });
}

test('a single node with a NEK needs no users file for a listener that authenticates: users are in the directory', async () => {
  const listener = '{ name: submission, kind: submission, port: 587, tls: none, auth: always }';
  await accepted(`listeners: [${listener}]\ncredentials: { nek: secrets/nek.key }`);
});

test('a file of several NEKs is one that may run, and each of them is read', async () => {
  const { config } = await accepted('listeners: []\ncredentials: { nek: secrets/neks.key }');
  const neks = await loadNeks(config.credentials.nek, silentLogger);
  assert.deepEqual(
    neks.map((n) => n.name),
    ['edge', 'new'],
  );
  assert.deepEqual(await loadNeks(undefined, silentLogger), []);
  await assert.rejects(loadNeks({ env: 'SEALPOST_TEST_ABSENT' }, silentLogger), /SEALPOST_TEST_ABSENT is not set/);
  const wrong = join(folder, 'secrets/smarthost');
  await assert.rejects(loadNeks(wrong, silentLogger), (error) => {
    assert.ok(error instanceof SealpostError);
    assert.equal(error.code, 'nek-invalid');
    assert.match(error.message, /smarthost: line 1: not a NEK/);
    assert.doesNotMatch(error.message, /pass word/);
    return true;
  });
});

test('a secret that every user of the machine can read is warned about', async () => {
  await chmod(join(folder, 'secrets/nek.key'), 0o644);
  const { warnings } = await accepted(
    'node: { hostname: mx1.example.com }\nlisteners: []\ncredentials: { nek: secrets/nek.key }',
  );
  await chmod(join(folder, 'secrets/nek.key'), 0o600);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /nek\.key can be read by every user .*chmod 600/);
});

test('an expired certificate is warned about and does not stop the mail', async () => {
  const { warnings } = await accepted('listeners: []\ntls: { certificate: tls/old.pem, key: tls/old-key.pem }');
  assert.match(warnings.join(), /old\.pem expired on 2020-01-02/);
});

test('without the check of files only the text counts, and unread secrets cannot be revealed', async () => {
  const loaded = await parseConfig(
    'listeners: []\ncredentials: { nek: absent }\nbus: { servers: ["nats://h:1"], user: a, password: { file: absent } }',
    folder,
    { files: false },
  );
  assert.ok(loaded.ok);
  assert.throws(() => loaded.config.bus.password?.reveal(), /was not read/);
});

test('a command that needs a few sections is not stopped by what is wrong in others', async () => {
  const text = 'node: { data: ./here }\nlisteners: [{ name: mx }]\nqueu: {}\nqueue: { expire: 5 }\n';
  const read = (only: readonly ('node' | 'bus' | 'listeners')[], yaml = text) =>
    parseConfig(yaml, folder, { files: false, only });
  const loaded = await read(['node', 'bus']);
  assert.ok(loaded.ok);
  assert.equal(loaded.config.node.data, join(folder, 'here'));
  const refused = await read(['node', 'listeners']);
  assert.deepEqual(refused.ok ? [] : refused.problems.map((p) => p.path.join('.')), [
    'listeners.0.kind',
    'listeners.0.port',
  ]);
  for (const whole of ['node: [', '- a list', 'node: { data: 5 }']) assert.ok(!(await read(['node'], whole)).ok, whole);
});

test('a file that is not there is an error of its own', async () => {
  await assert.rejects(
    loadConfig(join(folder, 'absent.yaml')),
    (error) =>
      error instanceof SealpostError && error.code === 'config-unreadable' && /does not exist/.test(error.message),
  );
});

test('requireConfig lists all problems with the name of the file', async () => {
  const file = join(folder, 'bad.yaml');
  await writeFile(file, 'listeners: []\nqueue: { expire: 5 }\nnode: { name: "" }\n');
  await assert.rejects(requireConfig(file), (error) => {
    assert.ok(error instanceof SealpostError);
    assert.equal(error.code, 'config-invalid');
    assert.match(error.message, /bad\.yaml:2: queue\.expire: .*\n.*bad\.yaml:3: node\.name: /);
    return true;
  });
});

test('a process reads only the files and secrets of its services', async () => {
  const text = `
bus: { servers: ["nats://h:1"], user: a, password: { env: SEALPOST_TEST_ABSENT } }
listeners: [{ name: mx, kind: relay, port: 25, tls: starttls }]
tls: { certificate: absent.pem, key: absent.pem }
directory: { users: absent.yaml }
credentials: { nek: { env: SEALPOST_TEST_ABSENT } }
routes: [{ to: "*", via: "smtp://u@host", tls: required, password: { file: absent } }]
dns: { zones: [{ name: a.example, update: { server: 127.0.0.1, key: edge, secret: { file: absent } } }] }
`;
  const problems = async (services?: string[]): Promise<string[]> => {
    const loaded = await parseConfig(text, folder, { services });
    assert.ok(!loaded.ok);
    return [...new Set(loaded.problems.map(({ path }) => path.join('.')))];
  };
  const zone = 'dns.zones.0.update.secret';
  const tls = ['tls.certificate', 'tls.key'];
  assert.deepEqual(await problems(), [
    'bus.password',
    ...tls,
    'directory.users',
    'credentials.nek',
    'routes.0.password',
    zone,
  ]);
  assert.deepEqual(await problems(['listener']), ['bus.password', ...tls]);
  assert.deepEqual(await problems(['policy']), ['bus.password', 'directory.users']);
  assert.deepEqual(await problems(['signer']), ['bus.password', 'credentials.nek']);
  assert.deepEqual(await problems(['credential-store', 'router']), [
    'bus.password',
    'credentials.nek',
    'routes.0.password',
    zone,
  ]);
});
