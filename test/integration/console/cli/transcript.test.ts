import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { SEALPOST, sealpost } from '#test/kit/command.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** `sealpost transcript`: sessions with a peer as text, while they happen. */

type Line = { at: number; node: string; direction: string; session: string; peer: string; by: string; text: string };

/** A session for each message. */
const CLOSES: SinkOptions['script'] = ({ verb }) =>
  verb === 'MESSAGE' ? { reply: '250 2.0.0 taken', close: true } : undefined;

async function send(port: number, to = 'bob@else.test'): Promise<void> {
  const load = new Load('mail', { port, sessions: 1, to, sizes: [300], perSession: 1 });
  load.start();
  await waitFor(() => load.accepted.size >= 1, { what: 'a message' });
  await load.stop();
}

function watch(node: SealpostNode, args: readonly string[], env: Record<string, string> = {}): Program {
  return new Program(SEALPOST, ['transcript', ...args, '--config', node.configFile], { cwd: node.folder, env });
}

const lines = (program: Program): Line[] =>
  program.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

test('both sides of a relayed message: TLS and its verdict, the login without its password, the mail as its size', async () => {
  const authority = await createAuthority();
  const tls = await authority.issue();
  await using sink = await SmtpSink.start({ tls, extensions: ['AUTH PLAIN', 'PIPELINING'], script: CLOSES });
  const via = `{ to: "*", via: "smtp://edge@127.0.0.1:${sink.port}", ca: ./ca.pem, password: { file: ./secret } }`;
  await using node = await SealpostNode.create({ config: `routes: [${via}]` });
  await writeFile(join(node.folder, 'ca.pem'), authority.ca);
  await writeFile(join(node.folder, 'secret'), 'Never-Shown-42', { mode: 0o600 });
  await node.start();
  await using program = watch(node, ['--peer', '127.0.0.1', '--for', '1m', '--json']);
  const both = (direction: string): Line[] => lines(program).filter((line) => line.direction === direction);
  const begun = () => both('out').find(({ text }) => text.startsWith('connecting to'))?.session;
  await waitFor(
    async () => {
      await send(node.port);
      const ended = begun();
      return (
        ended !== undefined && both('out').some((line) => line.session === ended && line.text.includes('bytes of'))
      );
    },
    { what: 'lines of both sessions', timeout: 30_000 },
  );
  const seen = lines(program);
  const out = both('out').filter((line) => line.session === begun());
  const spoken = out.map(({ by, text }) => `${by} ${text.replaceAll(String(sink.port), 'PORT')}`);
  assert.deepEqual(spoken.slice(0, 8), [
    'note TLS wanted: verified (route)',
    'note connecting to 127.0.0.1[127.0.0.1]:PORT',
    'server 220 sink.test ESMTP',
    'client EHLO edge.test',
    'server 250-sink.test',
    'server 250-AUTH PLAIN',
    'server 250-PIPELINING',
    'server 250 STARTTLS',
  ]);
  assert.match(
    spoken[10] ?? '',
    /^note TLS: TLSv1\.3 with TLS_AES_\w+; certificate of .* by .* until \d{4}-\d\d-\d\d: .*for 127\.0\.0\.1$/,
  );
  assert.ok(spoken.includes('client AUTH PLAIN ***'), spoken.join('\n'));
  assert.ok(spoken.includes('server 354 go ahead'));
  assert.ok(spoken.some((line) => /^client \[\d{3,} bytes of message\]$/.test(line)));
  const incoming = both('in').map(({ by, text }) => `${by} ${text}`);
  assert.ok(incoming.includes('note connected to listener mx'), incoming.join('\n'));
  assert.ok(incoming.some((line) => /^client \[\d{3,} bytes of message\]$/.test(line)));
  assert.ok(incoming.includes('note connection closed'));
  // No secret in any form, and nothing of the message.
  const all = JSON.stringify(seen);
  for (const secret of ['Never-Shown-42', Buffer.from('\0edge\0Never-Shown-42').toString('base64'), 'Subject: load']) {
    assert.ok(!all.includes(secret), secret);
  }
});

test('only what was asked for; a handshake that fails says why; the command ends by itself', async () => {
  await using sink = await SmtpSink.start({ tls: 'fail' });
  await using node = await SealpostNode.create({ sink: sink.port });
  await node.start();
  await using run = watch(node, ['--peer', '127.0.0.0/8', '--direction', 'out', '--for', '8s']);
  const nothing = sealpost(['transcript', '--peer', 'example.org', '--for', '2s', '--config', node.configFile], {
    cwd: node.folder,
  });
  await run.waitForOutput(/sessions with 127\.0\.0\.0\/8 on edge-1, for 8s; Control-C ends it/, 20_000);
  await send(node.port);
  assert.equal(await run.ended(), 0);
  const [, ...shown] = run.output.trimEnd().split('\n');
  assert.ok(shown.length > 8, run.output);
  const form = /^\d\d:\d\d:\d\d\.\d{3} edge-1 out [0-9A-Z]{12} \S+\[127\.0\.0\.1\]:\d+ (?:C:|S:|--) /;
  for (const line of shown) assert.match(line, form);
  const told = shown.map((line) => line.replace(form, ''));
  const rest = told.slice(told.indexOf('STARTTLS'));
  assert.equal(rest[1], '220 2.0.0 go ahead');
  assert.match(rest[2] ?? '', /^connection ended: TLS handshake with \S+ failed: \w+/);
  assert.match(
    rest[3] ?? '',
    /^TLS wanted: opportunistic \(default\), with a reduced ClientHello, as TLS handshake with/,
  );
  assert.ok(told.some((line) => /^TLS wanted: opportunistic \(default\), in clear text, as TLS/.test(line)));
  const none = await nothing;
  assert.equal(none.code, 0);
  assert.equal(none.stdout, '');
  assert.match(none.stderr, /no session with example\.org in this time; "sealpost queue list" shows/);
});

test('a client whose handshake fails at a listener, before it was a session', async () => {
  await using node = await SealpostNode.create({
    config:
      'listeners: [{ name: tls, kind: relay, address: 127.0.0.1, port: 0, tls: implicit }]\ntls: { certificate: ./c.pem, key: ./k.pem }',
  });
  const tls = await (await createAuthority()).issue();
  await writeFile(join(node.folder, 'c.pem'), tls.certificate);
  await writeFile(join(node.folder, 'k.pem'), tls.key);
  await node.start();
  const { listeners } = JSON.parse(await node.sealpost('status', '--json')) as { listeners: { port: number }[] };
  await using program = watch(node, ['--peer', '127.0.0.1', '--for', '30s', '--json']);
  await waitFor(
    async () => {
      const socket = connect(listeners[0]?.port ?? 0, '127.0.0.1').on('error', () => undefined);
      socket.write('EHLO in.the.clear\r\n');
      await once(socket, 'close');
      return lines(program).length > 0;
    },
    { what: 'a line' },
  );
  assert.match(
    lines(program)[0]?.text ?? '',
    /^connection failed: .*http request|^connection failed: .*(?:wrong version number|packet length).*, at listener tls$/,
  );
});

test('wrong usage', async () => {
  await using node = await SealpostNode.create();
  const cases: [args: string[], problem: RegExp][] = [
    [[], /required option '--peer <who>'/],
    [['--peer', 'a b'], /"a b" is not a peer/],
    [['--peer', 'a', '--for', 'soon'], /"soon" is not a duration from 1s to 24h/],
    [['--peer', 'a', '--for', '100d'], /"100d" is not a duration/],
  ];
  for (const [args, problem] of cases) {
    const { code, stderr } = await sealpost(['transcript', ...args, '--config', node.configFile], { cwd: node.folder });
    assert.equal(code, 2, stderr);
    assert.match(stderr, problem);
  }
});

test('all nodes of a cluster, over the bus, by the user for operators', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const nodes: SealpostNode[] = [];
  for (const name of ['edge-1', 'edge-2']) {
    const config = 'domains: []\nroutes: [{ to: "*", via: discard }]';
    nodes.push(undo.use(await SealpostNode.create({ name, nek, bus: guarded, config })));
  }
  await Promise.all(nodes.map((node) => node.start()));
  const desk = undo.use(await SealpostNode.create({ name: 'desk', bus: guarded }));
  const { user, password } = guarded.login('operator');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const all = undo.use(watch(desk, ['--peer', '127.0.0.1', '--direction', 'in', '--json'], env));
  const one = undo.use(watch(desk, ['--peer', '127.0.0.1', '--node', 'edge-2', '--json'], env));
  const nodesOf = (program: Program): string[] => [...new Set(lines(program).map(({ node }) => node))].sort();
  await waitFor(
    async () => {
      await Promise.all(nodes.map(({ port }) => send(port)));
      return nodesOf(all).length === 2 && nodesOf(one).length > 0;
    },
    { what: 'sessions of both nodes', timeout: 60_000 },
  );
  assert.deepEqual(nodesOf(all), ['edge-1', 'edge-2']);
  assert.deepEqual(nodesOf(one), ['edge-2']);
});
