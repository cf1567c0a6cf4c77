import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Type } from '#shared/dns/message.ts';
import { Secret } from '#shared/secret.ts';
import { address, answerTo, FakeDns, pointer, type Query } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { explain } from '#test/kit/nodes/explain.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';

/**
 * Relay control (DOMINO R1-R8) at real nodes: a session for each kind of client and rule, whose address comes by the PROXY
 * protocol, version 2, and whose name comes from DNS; `sealpost explain` is asked the same and says the same.
 */

/** Confirmed names; 203.0.113.66 claims one that leads elsewhere; of 198.51.100.99 DNS gives no answer. */
const NAMES: Record<string, string> = { '203.0.113.5': 'pc7.example.com', '192.0.2.7': 'mail.example.org' };
const pointerName = (ip: string): string => `${ip.split('.').toReversed().join('.')}.in-addr.arpa`;

function dnsAnswer(query: Query): Buffer {
  const { name = '', type = 0 } = query.questions[0] ?? {};
  if (name === pointerName('198.51.100.99')) return answerTo(query, { rcode: 2 });
  if (name === pointerName('203.0.113.66')) {
    return answerTo(query, { answers: [pointer(type, name, 'pc7.example.com')] });
  }
  for (const [ip, host] of Object.entries(NAMES)) {
    if (name === pointerName(ip)) return answerTo(query, { answers: [pointer(type, name, host)] });
    if (name === host && type === Type.A) return answerTo(query, { answers: [address(name, ip)] });
  }
  return answerTo(query, { rcode: 3 });
}

function proxyHeader(client: string): Buffer {
  const octets = [...client.split('.').map(Number), 127, 0, 0, 1, 0x9c, 0x40, 0, 25];
  const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
  return Buffer.concat([signature, Buffer.from([0x21, 0x11, 0, octets.length, ...octets])]);
}

type Row = [title: string, client: string, to: string, expected: string, user?: string];

/** Scope, internal hosts, exclusions, lists, groups; deny wins. */
const EXTERNAL = `
groups: { hosts: { branch: [198.51.100.0/25, 192.0.2.7] }, domains: { partners: [partner.test] } }
relay:
  scope: external
  internal: { hosts: [10.0.0.0/8], names: true }
  exclude: [192.0.2.25]
  allow: { hosts: [group:branch], domains: [group:partners] }
  deny: { hosts: [198.51.100.66], domains: [evil.test] }
`;
const EXTERNAL_ROWS: Row[] = [
  ['R1 a host of a group', '198.51.100.7', 'x@far.test', '250 2.1.5'],
  ['R1 a domain of a group, and what is below it', '203.0.113.9', 'x@sub.partner.test', '250 2.1.5'],
  ['R1 mere suffix text', '203.0.113.9', 'x@notpartner.test', '554 5.7.1'],
  ['R2 what no allow list names', '203.0.113.9', 'x@far.test', '554 5.7.1'],
  ['R2 a host that both lists name', '198.51.100.66', 'x@partner.test', '554 5.7.1'],
  ['R2 a domain that is denied to an allowed host', '198.51.100.7', 'x@evil.test', '554 5.7.1'],
  ['R3 an internal host is not checked', '10.1.2.3', 'x@evil.test', '250 2.1.5'],
  ['R4 a confirmed name in a local domain', '203.0.113.5', 'x@far.test', '250 2.1.5'],
  ['R4 a name that does not lead back', '203.0.113.66', 'x@far.test', '554 5.7.1'],
  ['R4 DNS is silent', '198.51.100.99', 'x@evil.test', '451 4.4.3'],
  ['R5 an excluded host', '192.0.2.25', 'x@evil.test', '250 2.1.5'],
  ['R5 a user', '203.0.113.9', 'x@evil.test', '250 2.1.5', 'alice'],
  ['R7 mail for us', '203.0.113.9', 'alice@example.com', '250 2.1.5'],
  ['R8 the percent hack', '203.0.113.9', 'x%far.test@partner.test', '550 5.7.1'],
  ['R8 a bang path', '203.0.113.9', 'far.test!x@partner.test', '550 5.7.1'],
  ['R8 a quoted address', '203.0.113.9', '"x@far.test"@partner.test', '550 5.7.1'],
  ['R8 a source route', '203.0.113.9', '@example.com:x@far.test', '553 5.1.3'],
];

/** All clients, users checked, allow wins. */
const ALL = `
relay:
  internal: { hosts: [10.0.0.0/8] }
  authenticated: checked
  precedence: allow
  allow: { hosts: [198.51.100.0/24], domains: [partner.test] }
  deny: { hosts: [198.51.100.66], domains: [evil.test] }
`;
const ALL_ROWS: Row[] = [
  ['R2 allow wins', '198.51.100.66', 'x@evil.test', '250 2.1.5'],
  ['R3 an internal host is checked like others', '10.1.2.3', 'x@far.test', '554 5.7.1'],
  ['R5 a user is checked', '203.0.113.9', 'x@far.test', '554 5.7.1', 'alice'],
  ['R5 a user, to an allowed domain', '203.0.113.9', 'x@partner.test', '250 2.1.5', 'alice'],
];

const NONE = 'relay: { scope: none, deny: { hosts: ["*"] } }';
const NONE_ROWS: Row[] = [
  ['R3 nobody is checked', '203.0.113.9', 'x@far.test', '250 2.1.5'],
  ['R8 not even an open relay takes routes', '203.0.113.9', 'x%far.test@example.com', '550 5.1.1'],
];

for (const [name, config, rows] of [
  ['external hosts are checked', EXTERNAL, EXTERNAL_ROWS],
  ['all hosts are checked', ALL, ALL_ROWS],
  ['no host is checked', NONE, NONE_ROWS],
] as const) {
  describe(name, () => {
    const resources = new AsyncDisposableStack();
    let node: SealpostNode;

    before(async () => {
      const temp = resources.use(await tempDir('relay'));
      const dns = resources.use(await FakeDns.start(dnsAnswer));
      const sink = resources.use(await SmtpSink.start());
      const users = join(temp.path, 'users.yaml');
      await addUser(users, { name: 'alice', password: new Secret('a password'), addresses: ['alice@example.com'] });
      const port = await freePort();
      const listener = `name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always, proxy: [127.0.0.1]`;
      node = resources.use(
        await SealpostNode.create({
          ...{ port, sink: sink.port },
          config: [
            config,
            `listeners: [{ ${listener} }]`,
            'domains: [{ name: example.com, local: true, signing: { mode: off } }]',
            `directory: { users: ${users} }`,
            `dns: { servers: ["${dns.server}"] }`,
          ].join('\n'),
        }),
      );
      await node.start();
    });
    after(() => resources.disposeAsync());

    for (const [title, client, to, expected, user] of rows) {
      test(`${title}: ${client} to ${to}`, async () => {
        await using session = await Dialog.connect(node.port);
        session.send(proxyHeader(client));
        await session.expect(220);
        await session.say('EHLO client.test', 250);
        if (user !== undefined) {
          await session.say(`AUTH PLAIN ${Buffer.from(`\0${user}\0a password`).toString('base64')}`, 235);
        }
        await session.say('MAIL FROM:<>', 250);
        const { code, text } = await session.command(`RCPT TO:<${to}>`);
        assert.equal(`${code} ${text.split(' ')[0]}`, expected, text);
        const explained = await explain(node, { client, helo: 'client.test', to, ...(user !== undefined && { user }) });
        assert.equal(explained.code, code);
        assert.equal(explained.reply[0], `${code} ${text}`);
      });
    }
  });
}

test('R3 an open relay is said at the start, by config check, by doctor and by explain', async () => {
  await using node = await SealpostNode.create({ config: NONE });
  const program = await node.start();
  assert.match(program.output, /"level":"warn"[^\n]*relay.scope is none: this server is an OPEN RELAY/);
  assert.match(await node.sealpost('config', 'check'), /warning: relay.scope is none: this server is an OPEN RELAY/);
  const doctor = await node.report('doctor', '--json');
  const { findings } = JSON.parse(doctor) as { findings: { check: string; severity: string }[] };
  assert.ok(findings.some(({ check, severity }) => check === 'open-relay' && severity === 'error'));
  const text = await node.sealpost('explain', '--client', '203.0.113.9', '--to', '<x@far.test>');
  assert.match(
    text,
    /^RCPT TO:<x@far.test>\n {2}250 2\.1\.5 Recipient OK\n {6}far\.test is not local\n {6}relay\.scope is none: may relay$/m,
  );
});

test('R6 explain shows each step in the order of the checks, and the listener that is asked', async () => {
  const port = await freePort();
  await using node = await SealpostNode.create({
    port,
    config: [
      'relay: { scope: external, internal: { hosts: [10.0.0.0/8] }, exclude: [192.0.2.25] }',
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }]`,
      'dns: { servers: ["127.0.0.1:1"], timeout: 100ms }',
    ].join('\n'),
  });
  await node.start();
  const ask = (...args: string[]) => node.sealpost('explain', '--client', '203.0.113.9', '--to', 'x@far.test', ...args);
  const lines = (await ask('--from', 'a@b.test', '--listener', 'mx')).split('\n').map((line) => line.trim());
  const steps = [
    '203.0.113.9 at listener mx (relay) of node edge-1',
    'neither an internal nor a trusted host: external',
    'MAIL FROM:<a@b.test>',
    'RCPT TO:<x@far.test>',
    'far.test is not local',
    'client is external',
    'client is not in relay.exclude',
    'client is not in relay.allow.hosts',
    'domain far.test is not in relay.allow.domains',
    'nothing allows it: relay refused',
    'refused: 554 5.7.1 Relay rejected for policy reasons',
  ];
  assert.deepEqual(
    lines.filter((line) => steps.includes(line)),
    steps,
  );
  await assert.rejects(ask('--listener', 'submission'), /there is no open listener "submission"; open: mx/);
  await assert.rejects(
    node.sealpost('explain', '--client', '203.0.113.9.1', '--to', 'x@far.test'),
    /is not an IP address/,
  );
  // Relay has no AUTH unless it is configured (DOMINO A2).
  assert.match(await ask('--auth', 'alice'), /^refused: 502 5\.5\.1 Command not implemented$/m);
});

test('R6 an address that all clients come from opens nothing unless it is named itself, and doctor and explain say so', async () => {
  const port = await freePort();
  await using node = await SealpostNode.create({
    port,
    config: [
      'relay: { allow: { hosts: [10.0.0.0/8] } }',
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
      'dns: { servers: ["127.0.0.1:1"], timeout: 100ms }',
      'domains: []',
    ].join('\n'),
  });
  const program = await node.start();
  const asksToRelay = async (name: string): Promise<number> => {
    await using session = await Dialog.connect(node.port);
    session.send(proxyHeader('10.9.9.9'));
    await session.expect(220);
    await session.say(`EHLO ${name}`, 250);
    await session.say('MAIL FROM:<a@b.test>', 250);
    return (await session.command('RCPT TO:<x@far.test>')).code;
  };
  for (let i = 0; i < 20; i++) assert.equal(await asksToRelay(`mail.example${i}.test`), 250);
  assert.equal(await asksToRelay('mail.example.test'), 554);
  await program.waitForOutput(/all clients come from one address.*only where they name it alone/);
  const explained = await node.sealpost('explain', '--client', '10.9.9.9', '--to', 'x@far.test');
  assert.match(explained, /^refused: 554 5\.7\.1/m);
  assert.match(explained, /^note: all clients, in 21 sessions, came from 10\.9\.9\.9, a private address/m);
  assert.match(explained, /^note: anybody may come in through 10\.9\.9\.9/m);
  // Another host of the network is not refused for it.
  assert.match(await node.sealpost('explain', '--client', '10.1.2.3', '--to', 'x@far.test'), /^accepted/m);
  const { findings } = JSON.parse(await node.report('doctor', '--json')) as {
    findings: { check: string; text: string }[];
  };
  const finding = findings.find(({ check }) => check === 'hidden-clients');
  assert.match(finding?.text ?? '', /came from 10\.9\.9\.9.*relay\.allow\.hosts \(10\.0\.0\.0\/8\) does not mean it/);
});
