import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { NextHop } from '#services/router/delivery/job.ts';
import { isThisMachine } from '#services/router/delivery/smtp/session.ts';
import { Secret } from '#shared/secret.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { type Certificate, createAuthority } from '#test/kit/nodes/certificate.ts';
import { type SinkAction, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, MESSAGE, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';
import { rawPeer } from './raw-peer.ts';

const authority = await createAuthority();
const tls = await authority.issue();
const folder = await tempDir();
after(() => folder[Symbol.asyncDispose]());
const pem = async (name: string, text: string): Promise<string> => {
  await writeFile(join(folder.path, name), text);
  return join(folder.path, name);
};
const ca = await pem('ca.pem', authority.ca);
const QUICK = testSettings({ delivery: { timeout: { connect: '300ms', command: '300ms', data: '300ms' } } });

/** Route's TLS, what the peer offers, and what comes of it: the result, in TLS or clear, over how many connections. */
const TLS_CASES: [string, NextHop['tls'], SinkOptions, string, boolean, number][] = [
  ['offered, opportunistic', 'opportunistic', { tls }, 'delivered 250 2.0.0', true, 1],
  ['offered, required', 'required', { tls }, 'delivered 250 2.0.0', true, 1],
  ['offered, off', 'off', { tls }, 'delivered 250 2.0.0', false, 1],
  ['not offered, opportunistic', 'opportunistic', {}, 'delivered 250 2.0.0', false, 1],
  ['not offered, required', 'required', {}, 'deferred 454 4.7.4', false, 1],
  [
    'handshake fails, opportunistic (RouterFallbackNonTLS)',
    'opportunistic',
    { tls: 'fail' },
    'delivered 250 2.0.0',
    false,
    3,
  ],
  ['handshake fails, required', 'required', { tls: 'fail' }, 'deferred 454 4.7.5', false, 2],
  [
    'refused, opportunistic',
    'opportunistic',
    { tls, script: ({ verb }) => (verb === 'STARTTLS' ? '454 4.7.0 no key' : undefined) },
    'delivered 250 2.0.0',
    false,
    1,
  ],
  [
    'refused, required',
    'required',
    { tls, script: ({ verb }) => (verb === 'STARTTLS' ? '554 5.7.0 no' : undefined) },
    'deferred 454 4.7.4',
    false,
    1,
  ],
  // With TLS 1.3 the client is through with the handshake before these refusals come.
  ...(['opportunistic', 'required'] as const).flatMap((route): (typeof TLS_CASES)[number][] => {
    const outcome = route === 'required' ? 'deferred 454 4.7.5' : 'delivered 250 2.0.0';
    // A reduced ClientHello is tried, and then clear text where that will do.
    const connections = route === 'required' ? 2 : 3;
    const late = (action: SinkAction): SinkOptions => ({
      tls,
      script: ({ verb, session }) => (verb === 'EHLO' && session.tls !== undefined ? action : undefined),
    });
    return [
      [`refused by a close at EHLO, ${route}`, route, late('close'), outcome, false, connections],
      [`refused by 454 at EHLO, ${route}`, route, late('454 4.7.0 no TLS now'), outcome, false, connections],
      [`refused by silence at EHLO, ${route}`, route, late('hang'), outcome, false, connections],
      [
        `followed by 421, ${route}`,
        route,
        late({ reply: '421 4.3.2 down', close: true }),
        'deferred 421 4.3.2',
        false,
        1,
      ],
    ];
  }),
];
for (const [name, route, options, expected, secure, connections] of TLS_CASES) {
  test(`TLS ${name}`, async () => {
    await using sink = await SmtpSink.start(options);
    // A machine that is busy answers late; only silence is waited for in vain.
    await using delivery = testDelivery(name.includes('silence') ? { settings: QUICK } : {});
    const [results = []] = await delivery.run(smtpHop(sink.port, { tls: route }), testJob());
    assert.deepEqual(brief(results), [expected]);
    assert.equal(results[0]?.outcome.tls !== undefined, secure);
    assert.equal(sink.sessions.length, connections);
    assert.equal(sink.messages[0]?.session.tls !== undefined, secure);
    // RFC 3207 §4.2: what was learned in clear is forgotten, EHLO is said again.
    if (secure) assert.deepEqual(sink.sessions[0]?.lines.slice(0, 3), ['EHLO edge.test', 'STARTTLS', 'EHLO edge.test']);
  });
}

test('replies that follow that of STARTTLS in clear are not taken for replies in TLS', async () => {
  const heard: string[] = [];
  await using peer = await rawPeer((socket, line) => {
    heard.push(line);
    if (line.startsWith('EHLO')) socket.write('250-raw\r\n250 STARTTLS\r\n');
    // After the 220: what a peer in TLS would say to EHLO, MAIL, RCPT, DATA and the message.
    if (line === 'STARTTLS') socket.write('220 go\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n');
  });
  await using delivery = testDelivery({ settings: QUICK });
  const [results = []] = await delivery.run(smtpHop(peer.port, { tls: 'required' }), testJob());
  assert.deepEqual(brief(results), ['deferred 454 4.7.5']);
  assert.ok(heard.every((line) => !line.startsWith('MAIL')));
});

test('clear text after the reply to STARTTLS is dropped, and the log says so', async () => {
  const { log, lines } = logLines();
  const script: SinkOptions['script'] = ({ verb }) => (verb === 'STARTTLS' ? '220 go\r\n250 injected' : undefined);
  await using sink = await SmtpSink.start({ tls, script });
  await using delivery = testDelivery({ settings: QUICK, log });
  const [results = []] = await delivery.run(smtpHop(sink.port, { tls: 'required' }), testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.equal(lines().find(({ msg }) => msg.includes('after STARTTLS'))?.['bytes'], 14);
});

test('a peer that sends byte after byte without end comes to its end', async () => {
  let timer: NodeJS.Timeout | undefined;
  await using peer = await rawPeer((socket) => {
    timer ??= setInterval(() => socket.write('x'), 20);
  });
  await using delivery = testDelivery({ settings: QUICK });
  const start = performance.now();
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob());
  clearInterval(timer);
  assert.deepEqual(brief(results), ['deferred 451 4.4.2']);
  assert.ok(performance.now() - start < 10_000);
});

test('a peer that takes its time for each of many recipients is waited for', async () => {
  let due = Promise.resolve();
  const later = (socket: Socket, text: string): void => {
    due = due.then(() => setTimeout(60)).then(() => void socket.write(text));
  };
  await using peer = await rawPeer((socket, line) => {
    if (line.startsWith('EHLO')) socket.write('250-raw\r\n250 PIPELINING\r\n');
    else if (/^(MAIL|RCPT|\.)/.test(line)) later(socket, '250 2.0.0 ok\r\n');
    else if (line === 'DATA') later(socket, '354 go\r\n');
  });
  await using delivery = testDelivery({ settings: QUICK });
  const recipients = Array.from({ length: 30 }, (_, i) => `r${i}@x.test`);
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ recipients }));
  assert.deepEqual(new Set(brief(results)), new Set(['delivered 250 2.0.0']));
});

test('LMTP: a peer that takes its time for the message of each of many recipients is waited for', async () => {
  await using peer = await rawPeer(async (socket, line) => {
    if (line.startsWith('LHLO')) socket.write('250 raw\r\n');
    else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 2.0.0 ok\r\n');
    else if (line === 'DATA') socket.write('354 go\r\n');
    else if (line === '.') {
      for (let i = 0; i < 20; i++) {
        await setTimeout(75);
        socket.write('250 2.0.0 ok\r\n');
      }
    }
  });
  await using delivery = testDelivery({ settings: QUICK });
  const recipients = Array.from({ length: 20 }, (_, i) => `r${i}@x.test`);
  const [results = []] = await delivery.run(smtpHop(peer.port, { kind: 'lmtp' }), testJob({ recipients }));
  assert.deepEqual(new Set(brief(results)), new Set(['delivered 250 2.0.0']));
});

test('replies in single bytes are heard', async () => {
  const replies: Record<string, string> = {
    EHLO: '250-raw\r\n250 PIPELINING\r\n',
    MAIL: '250 ok\r\n',
    RCPT: '250-two\r\n250 lines\r\n',
    DATA: '354 go\r\n',
    '.': '250 2.0.0 taken\r\n',
    QUIT: '221 bye\r\n',
  };
  let sent: Promise<void> = Promise.resolve();
  await using peer = await rawPeer((socket, line) => {
    const text = replies[line === '.' ? line : line.slice(0, 4)];
    if (text === undefined) return;
    sent = sent.then(async () => {
      for (const byte of text) {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
  });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ recipients: ['b@x.test', 'c@x.test'] }));
  assert.deepEqual(brief(results), ['delivered 250 2.0.0', 'delivered 250 2.0.0']);
});

test('a refusal in the middle of a message is the last word, and the rest is not sent', async () => {
  let bytes = 0;
  await using peer = await rawPeer((socket, line) => {
    if (line.startsWith('EHLO')) socket.write('250 raw\r\n');
    else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n');
    else if (line === 'DATA') socket.write('354 go\r\n');
    else if (bytes === 0) socket.write('552 5.3.4 too much\r\n');
    if (line.startsWith('x')) bytes += line.length;
  });
  await using delivery = testDelivery();
  let made = 0;
  async function* endless() {
    for (;;) {
      made++;
      yield Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(64));
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(made < 5000);
    }
  }
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ message: endless }));
  assert.deepEqual(brief(results), ['failed 552 5.3.4']);
});

test('a peer that stops reading a message is left', async () => {
  await using peer = await rawPeer((socket, line) => {
    if (line.startsWith('EHLO')) socket.write('250 raw\r\n');
    else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n');
    else if (line === 'DATA') {
      socket.pause();
      socket.write('354 go\r\n');
    }
  });
  await using delivery = testDelivery({ settings: QUICK });
  const chunk = Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(64));
  let read = 0;
  function* large() {
    for (; read < 2000; read++) yield chunk;
  }
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ message: large }));
  assert.deepEqual(brief(results), ['deferred 451 4.4.2']);
  assert.ok(read < 1000, 'the message waits on disk, not in memory');
});

test('consent in the middle of a message is not consent', async () => {
  await using peer = await rawPeer((socket, line) => {
    if (line.startsWith('EHLO')) socket.write('250 raw\r\n');
    else if (/^(MAIL|RCPT|x)/.test(line)) socket.write('250 ok\r\n');
    else if (line === 'DATA') socket.write('354 go\r\n');
  });
  await using delivery = testDelivery();
  async function* slow() {
    for (let i = 0; i < 5000; i++) {
      yield Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(64));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ message: slow }));
  assert.deepEqual(brief(results), ['deferred 451 4.5.0']);
});

const login = (port: number, rules: Partial<NextHop> = {}): NextHop => ({
  key: 'smart',
  spec: { kind: 'smtp', host: '127.0.0.1', port, user: 'user', password: new Secret('pässword') },
  tls: 'opportunistic',
  ...rules,
});

for (const mechanism of ['PLAIN', 'LOGIN']) {
  test(`A6 AUTH ${mechanism} over TLS`, async () => {
    await using sink = await SmtpSink.start({ tls, extensions: [`AUTH XOAUTH2 ${mechanism}`] });
    await using delivery = testDelivery();
    const [results = []] = await delivery.run(login(sink.port, { ca }), testJob());
    assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
    assert.deepEqual(sink.messages[0]?.session.auth, { user: 'user', password: 'pässword' });
    assert.ok(sink.messages[0]?.session.tls !== undefined);
  });
}

const stranger = await createAuthority('Another Authority');
const self = await authority.issue();
/** The peer's certificate, the authorities of the route, and what is wrong with the pair; undefined: nothing. */
const CERTIFICATES: [name: string, tls: Certificate, ca: string | undefined, wrong: RegExp | undefined][] = [
  ['of the authority that the route names', tls, ca, undefined],
  ['that the route names itself', self, await pem('self.pem', self.certificate), undefined],
  ['of an authority that nobody knows', tls, undefined, /not trusted here|is self-signed/],
  ['of another authority', await stranger.issue(), ca, /not trusted here|is self-signed/],
  ['for another host', await authority.issue({ names: ['other.test', '127.0.0.2'] }), ca, /is not for 127/],
  ['that has expired', await authority.issue({ notAfter: Date.now() - 60_000 }), ca, /expired/],
  ['that another file pins', tls, await pem('pin.pem', self.certificate), /not trusted here|is self-signed/],
];
const PLAIN = ['AUTH PLAIN'];
for (const [name, certificate, authorities, wrong] of CERTIFICATES) {
  for (const implicitTls of [false, true]) {
    const over = implicitTls ? 'smtps' : 'STARTTLS';
    const sinkOf = () => SmtpSink.start({ tls: certificate, implicitTls, extensions: PLAIN });
    const run = async (rules: { tls: NextHop['tls']; password: boolean }) => {
      const sink = await sinkOf();
      await using delivery = testDelivery({ settings: QUICK });
      const { spec } = login(sink.port);
      if (spec.kind !== 'smtp') throw new Error('not a smart host');
      const { user, password, ...host } = spec;
      const hop: NextHop = {
        key: 'smart',
        spec: { ...host, ...(rules.password && { user, password }), ...(implicitTls && { implicitTls }) },
        tls: rules.tls,
        ca: authorities,
      };
      const [[result] = []] = await delivery.run(hop, testJob());
      await sink[Symbol.asyncDispose]();
      return { result, sink };
    };

    test(`a password over ${over} ${wrong === undefined ? 'goes' : 'does not go'} to a certificate ${name}`, async () => {
      for (const demand of ['opportunistic', 'required', 'verified'] as const) {
        const { result, sink } = await run({ tls: demand, password: true });
        assert.deepEqual(brief(result === undefined ? [] : [result]), [
          wrong ? 'deferred 454 4.7.5' : 'delivered 250 2.0.0',
        ]);
        assert.match(result?.outcome.reply.text ?? '', wrong ?? /taken/);
        const lines = sink.sessions.flatMap((session) => session.lines);
        assert.equal(
          lines.some((line) => line.startsWith('AUTH')),
          wrong === undefined,
        );
        assert.equal(sink.sessions.length, 1, 'and not in clear text over another connection');
      }
    });

    test(`tls verified over ${over} ${wrong === undefined ? 'accepts' : 'refuses'} a certificate ${name}`, async () => {
      const { result, sink } = await run({ tls: 'verified', password: false });
      assert.deepEqual(brief(result === undefined ? [] : [result]), [
        wrong ? 'deferred 454 4.7.5' : 'delivered 250 2.0.0',
      ]);
      assert.equal(sink.messages.length, wrong === undefined ? 1 : 0);
    });

    test(`tls required over ${over} accepts a certificate ${name}`, async () => {
      const { result } = await run({ tls: 'required', password: false });
      assert.deepEqual(brief(result === undefined ? [] : [result]), ['delivered 250 2.0.0']);
      assert.equal(result?.outcome.tls?.protocol, 'TLSv1.3');
    });
  }
}

test('a route whose file of authorities is gone keeps its mail, and says which file', async () => {
  await using sink = await SmtpSink.start({ tls, extensions: PLAIN });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(login(sink.port, { ca: '/nowhere/ca.pem' }), testJob());
  assert.deepEqual(brief(results), ['deferred 454 4.7.5 local']);
  assert.match(results[0]?.outcome.reply.text ?? '', /\/nowhere\/ca\.pem/);
  assert.equal(sink.sessions.length, 0);
});

test('a route that demands a certificate gets none without STARTTLS', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port, { tls: 'verified' }), testJob());
  assert.deepEqual(brief(results), ['deferred 454 4.7.4']);
});

const smtps = (port: number): NextHop => ({
  key: 'smtps',
  spec: { kind: 'smtp', host: '127.0.0.1', port, implicitTls: true },
  tls: 'opportunistic',
});

test('smtps is TLS before the first word, and never clear text', async () => {
  await using sink = await SmtpSink.start({ tls, implicitTls: true });
  await using delivery = testDelivery({ settings: QUICK });
  await delivery.run(smtps(sink.port), testJob());
  assert.deepEqual(sink.sessions[0]?.lines.slice(0, 2), [
    'EHLO edge.test',
    `MAIL FROM:<a@sender.test> SIZE=${MESSAGE.length}`,
  ]);
  await using plain = await SmtpSink.start();
  const [results = []] = await delivery.run(smtps(plain.port), testJob());
  assert.deepEqual(brief(results), ['deferred 454 4.7.5']);
  assert.equal(plain.sessions.length, 2, 'with the usual ClientHello and a reduced one');
  assert.doesNotMatch(results[0]?.outcome.reply.text ?? '', /openssl|\.c:/);
});

test('a smart host that waits for TLS is told from one that is down', async () => {
  await using sink = await SmtpSink.start({ tls, implicitTls: true });
  await using delivery = testDelivery({ settings: QUICK });
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob());
  assert.match(results[0]?.outcome.reply.text ?? '', /greeting.*smtps:/);
});

test('a mechanism that the smart host offers and does not know is followed by another one', async () => {
  await using sink = await SmtpSink.start({
    extensions: ['AUTH PLAIN LOGIN'],
    script: ({ verb, session }) =>
      verb === 'AUTH' && session.lines.at(-1)?.startsWith('AUTH PLAIN') === true ? '504 5.7.4 unknown' : undefined,
  });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(login(sink.port), testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.deepEqual(sink.messages[0]?.session.auth, { user: 'user', password: 'pässword' });
  assert.deepEqual(
    sink.sessions[0]?.lines.slice(1, 3).map((line) => line.slice(0, 10)),
    ['AUTH PLAIN', 'AUTH LOGIN'],
  );
});

const REFUSED_LOGINS: [string, SinkOptions, string][] = [
  ['no AUTH', { extensions: ['PIPELINING'] }, 'deferred 454 4.7.0 local'],
  ['only CRAM-MD5', { extensions: ['AUTH CRAM-MD5'] }, 'deferred 454 4.7.0 local'],
  [
    'a wrong password',
    { extensions: ['AUTH PLAIN'], script: ({ verb }) => (verb === 'AUTH' ? '535 5.7.8 wrong' : undefined) },
    'deferred 535 5.7.8 local',
  ],
  [
    'a login that fails for now',
    { extensions: ['AUTH LOGIN'], script: ({ verb }) => (verb === 'AUTH' ? '454 4.7.0 later' : undefined) },
    'deferred 454 4.7.0 local',
  ],
];
for (const [name, options, expected] of REFUSED_LOGINS) {
  test(`a smart host with ${name} leaves the mail waiting`, async () => {
    const { log, lines } = logLines();
    await using sink = await SmtpSink.start(options);
    await using delivery = testDelivery({ log });
    const [results = []] = await delivery.run(login(sink.port), testJob());
    assert.deepEqual(brief(results), [expected]);
    assert.equal(
      sink.sessions[0]?.lines.some((line) => line.startsWith('MAIL')),
      false,
    );
    const text = JSON.stringify([lines(), results]);
    assert.ok(!text.includes('pässword') && !text.includes(Buffer.from('pässword').toString('base64')));
  });
}

for (const [address, own] of [
  ['192.0.2.1', false],
  ['128.0.0.1', false],
  ['::', false],
  ['2001:db8::1', false],
  ['::ffff:192.0.2.1', false],
  ['0.0.0.0', false],
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['::1', true],
] as const) {
  test(`a password ${own ? 'may go' : 'does not go'} in clear text to ${address}`, () => {
    assert.equal(isThisMachine(address), own);
  });
}

test('an idle connection is closed with QUIT, one that works is not', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ settings: testSettings({ delivery: { idle: '50ms' } }) });
  await delivery.run(smtpHop(sink.port), testJob());
  await waitFor(() => sink.sessions[0]?.closed, { what: 'the end of the idle session' });
  assert.equal(sink.sessions[0]?.lines.at(-1), 'QUIT');
  assert.equal(sink.sessions[0]?.lines.filter((line) => line === 'QUIT').length, 1);
});

/** What an idle peer may do; the next message goes over a fresh connection, and no result shows it. */
const IDLE: [string, (verb: string, nth: number) => SinkAction | undefined][] = [
  [
    'says 421 to the second MAIL',
    (verb, nth) => (verb === 'MAIL' && nth === 2 ? { reply: '421 4.4.2 idle', close: true } : undefined),
  ],
  ['closes at the second MAIL', (verb, nth) => (verb === 'MAIL' && nth === 2 ? 'close' : undefined)],
];
for (const [name, act] of IDLE) {
  for (const extensions of [['PIPELINING'], []]) {
    test(`a peer ${extensions.length === 0 ? 'without' : 'with'} pipelining that ${name}`, async () => {
      let mails = 0;
      await using sink = await SmtpSink.start({
        extensions,
        script: ({ verb }) => act(verb, verb === 'MAIL' ? ++mails : 0),
      });
      await using delivery = testDelivery();
      const hop = smtpHop(sink.port);
      await delivery.run(hop, testJob());
      const job = testJob();
      const [results = []] = await delivery.run(hop, job);
      assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
      assert.equal(job.opened, 1);
      assert.equal(sink.sessions.length, 2);
      assert.equal(sink.messages.length, 2);
    });
  }
}

test('a peer that closed while idle is not written to', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  const hop = smtpHop(sink.port);
  await delivery.run(hop, testJob());
  sink.dropAll();
  await waitFor(() => sink.sessions[0]?.closed, { what: 'the drop' });
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.equal(sink.messages[1]?.data.toString(), MESSAGE);
});

test('a peer that says 421 to every second MAIL and to the fresh one defers the mail', async () => {
  let mails = 0;
  await using sink = await SmtpSink.start({
    script: ({ verb }) => (verb === 'MAIL' && ++mails > 1 ? { reply: '421 4.7.0 no more', close: true } : undefined),
  });
  await using delivery = testDelivery();
  const hop = smtpHop(sink.port);
  await delivery.run(hop, testJob());
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['deferred 421 4.7.0']);
  assert.equal(mails, 3, 'one fresh connection, not more');
});
