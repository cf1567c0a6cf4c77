import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { NextHop } from '#services/router/delivery/job.ts';
import type { Resolver } from '#services/router/delivery/resolver.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, MESSAGE, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** What goes wrong with TLS on the way to others: a firewall, a mail exchanger that is down; how often each is connected to. */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? {} : { skip: 'needs port 25' };

const settings = testSettings({
  delivery: { timeout: { connect: '500ms', command: '2s', data: '2s' }, 'allow-local': ['127.0.0.0/8'] },
});

/** A port whose packets are dropped, as by a firewall: nobody accepts, and the queue of the kernel is full. */
async function filteredPort() {
  const script =
    'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0); print(s.getsockname()[1], flush=True); import time; time.sleep(600)';
  const program = new Program('python3', ['-c', script]);
  const [, port] = await program.waitForOutput(/^(\d+)\n/);
  const fill = [0, 1, 2].map(() => connect(Number(port), '127.0.0.1').on('error', () => undefined));
  await once(fill[0] as (typeof fill)[0], 'connect');
  await delay(100);
  return {
    port: Number(port),
    async [Symbol.asyncDispose]() {
      for (const socket of fill) socket.destroy();
      await program[Symbol.asyncDispose]();
    },
  };
}

test(
  'a firewall that drops what goes to 465: the mail waits, and says that nobody answers',
  needs('python3'),
  async () => {
    await using filtered = await filteredPort();
    await using delivery = testDelivery({ settings });
    const { port } = filtered;
    const hop: NextHop = {
      key: 'smtps',
      spec: { kind: 'smtp', host: '127.0.0.1', port, implicitTls: true },
      tls: 'opportunistic',
    };
    const [[result] = []] = await delivery.run(hop, testJob());
    assert.equal(result?.state, 'deferred');
    assert.equal(
      result?.outcome.reply.text,
      `cannot connect to 127.0.0.1[127.0.0.1]:${port}: no answer within 0.5 s (a firewall on the way may drop what goes to port ${port})`,
    );
  },
);

type Host = SinkOptions | 'down' | 'hangs up';

/** Mail exchangers m1, m2 … of a domain at port 25 of 127.0.0.6x, best first; something counts what comes to port 465. */
async function exchangers(...hosts: Host[]) {
  const stack = new AsyncDisposableStack();
  const counts = { smtps: 0, hungUp: 0 };
  const serve = async (host: string, port: number, count: () => void): Promise<void> => {
    const server: Server = createServer((socket) => {
      count();
      socket.destroy();
    });
    server.listen(port, host);
    await once(server, 'listening');
    stack.defer(async () => {
      server.close();
      await once(server, 'close');
    });
    assert.equal((server.address() as AddressInfo).port, port);
  };
  const sinks: (SmtpSink | undefined)[] = [];
  for (const [i, one] of hosts.entries()) {
    const host = `127.0.0.${61 + i}`;
    await serve(host, 465, () => counts.smtps++);
    if (one === 'hangs up') await serve(host, 25, () => counts.hungUp++);
    sinks.push(typeof one === 'string' ? undefined : stack.use(await SmtpSink.start({ ...one, host, port: 25 })));
  }
  const resolver: Resolver = {
    mx: async () => ({
      exists: true,
      records: hosts.map((_, i) => ({ exchange: `m${i + 1}.test`, priority: 10 * (i + 1) })),
      authenticated: false,
    }),
    addresses: async (name) => ({
      addresses: [`127.0.0.${60 + Number(name.slice(1, 2))}`],
      ttl: 60,
      authenticated: false,
    }),
    machine: async () => ({ addresses: [], ttl: 60, authenticated: false }),
    ask: async () => ({ kind: 'none', ttl: 60, authenticated: false }) as never,
  };
  return { counts, sinks, resolver, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const tls = await (await createAuthority()).issue({ names: ['m2.test'] });

/** Hosts, TLS of the route, outcome, and for each host with a server how many connections it got and which of them in TLS. */
const CASES: [what: string, hosts: Host[], tls: NextHop['tls'], outcome: string, connections: string[]][] = [
  ['the first is down, the second has TLS', ['down', { tls }], 'opportunistic', 'delivered 250 2.0.0', ['-', 'tls']],
  [
    'the first hangs up, the second has TLS',
    ['hangs up', { tls }],
    'opportunistic',
    'delivered 250 2.0.0',
    ['1', 'tls'],
  ],
  [
    'the first is down, the handshake of the second fails',
    ['down', { tls: 'fail' }],
    'opportunistic',
    'delivered 250 2.0.0',
    ['-', 'clear clear clear'],
  ],
  [
    'the same where TLS is required: nothing goes in clear text',
    ['down', { tls: 'fail' }],
    'required',
    'deferred 454 4.7.5',
    ['-', 'clear clear'],
  ],
  [
    'the handshake of the first fails: the second is taken in TLS before the first in clear text',
    [{ tls: 'fail' }, { tls }],
    'opportunistic',
    'delivered 250 2.0.0',
    ['clear', 'tls'],
  ],
  ['all are down', ['hangs up', 'hangs up'], 'opportunistic', 'deferred 451 4.4.2', ['1', '1']],
];

for (const [what, hosts, demand, outcome, connections] of CASES) {
  test(`mail exchangers: ${what}`, options, async () => {
    await using site = await exchangers(...hosts);
    await using delivery = testDelivery({ settings, resolver: site.resolver });
    const hop: NextHop = { key: 'mx:d.test', spec: { kind: 'mx', domain: 'd.test' }, tls: demand };
    const [results = []] = await delivery.run(hop, testJob({ recipients: ['b@d.test'] }));
    assert.deepEqual(brief(results), [outcome]);
    const hungUp = hosts.filter((host) => host === 'hangs up').length;
    const seen = hosts.map((host, i) => {
      if (host === 'down') return '-';
      if (host === 'hangs up') return String(site.counts.hungUp / hungUp);
      return site.sinks[i]?.sessions.map((session) => (session.tls === undefined ? 'clear' : 'tls')).join(' ');
    });
    assert.deepEqual(seen, connections);
    assert.equal(site.counts.smtps, 0, 'nothing is tried at port 465');
    const taken = site.sinks.flatMap((sink) => sink?.messages ?? []);
    assert.equal(taken.length, outcome.startsWith('delivered') ? 1 : 0);
    for (const { data, session } of taken) {
      assert.equal(data.toString(), MESSAGE);
      if (connections.includes('tls')) assert.notEqual(session.tls, undefined);
    }
    const mailInClear = site.sinks
      .flatMap((sink) => sink?.sessions ?? [])
      .filter((session) => session.tls === undefined);
    if (demand === 'required') {
      for (const { lines } of mailInClear) assert.ok(!lines.some((line) => /^(?:MAIL|RCPT|DATA)/.test(line)));
    }
  });
}
