import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Unreachable } from '#services/router/delivery/channel.ts';
import { Destination } from '#services/router/delivery/destination.ts';
import type { MessageDemand } from '#services/router/delivery/job.ts';
import { SmtpTransport } from '#services/router/delivery/smtp/transport.ts';
import type { LadderDeps } from '#services/router/delivery/tls-policy/ladder.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import type { StsPolicy } from '#services/router/delivery/tls-policy/sts/policies.ts';
import type { Target, TlsRules } from '#services/router/delivery/tls-policy/wanted.ts';
import { silentLogger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { brief, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Mail that asks for TLS itself, at a domain with the mail exchangers mx1.test, mx2.test …. */

const NAMES = ['mx1.test', 'mx2.test', 'mx3.test'];
const authority = await createAuthority();
const tls = await authority.issue({ names: NAMES });
const other = await (await createAuthority('Other')).issue({ names: NAMES });
const folder = await tempDir();
after(() => folder[Symbol.asyncDispose]());
const ca = join(folder.path, 'ca.pem');
await writeFile(ca, authority.ca);

const NOTHING: MessageDemand = { raises: true, strict: true, requireTls: 'never', ignorePolicies: false };
const FORCED: Partial<TlsRules> = { tls: 'required', demand: NOTHING };
const VERIFIED: Partial<TlsRules> = { tls: 'verified', demand: NOTHING };
const REQUIRETLS: Partial<TlsRules> = { tls: 'verified', demand: { ...NOTHING, requireTls: 'always' } };
const NOTIFICATION: Partial<TlsRules> = {
  tls: 'opportunistic',
  demand: { ...NOTHING, raises: false, strict: false, requireTls: 'if-offered' },
};
const RENOUNCED: Partial<TlsRules> = {
  tls: 'opportunistic',
  demand: { ...NOTHING, raises: false, strict: false, ignorePolicies: true },
};

type Peer = { down?: true; sink?: SinkOptions; target?: Partial<Target> };

async function send(
  rules: Partial<TlsRules>,
  peers: readonly Peer[],
  more: { missing?: Unreachable; wait?: true } = {},
) {
  await using stack = new AsyncDisposableStack();
  const sinks: SmtpSink[] = [];
  const targets: Target[] = [];
  const settings = testSettings({ delivery: { timeout: { connect: '1s', command: '1s', data: '1s' } } });
  for (const [i, { down, sink: options = {}, target }] of peers.entries()) {
    const sink = await SmtpSink.start({ ...options, host: `127.0.0.${i + 1}` });
    targets.push({ name: NAMES[i] ?? '', address: sink.host, port: sink.port, domain: 'x.test', ...target });
    sinks.push(stack.use(sink));
    if (down === true) await sink[Symbol.asyncDispose]();
  }
  const log = silentLogger;
  const wanted: LadderDeps = {
    rules: {
      tls: 'opportunistic',
      byMessage: rules.demand?.raises === true,
      implicitTls: false,
      secret: undefined,
      ...rules,
    },
    memory: {
      domain: () => (more.wait === true ? { reached: 'encrypted', at: Date.now() } : undefined),
      ...{ host: () => undefined, noteDomain: () => undefined, noteHost: () => undefined },
    },
    ...{ ifLost: () => 'wait', lost: new LostDestinations(log), onTlsResult: undefined, log },
  };
  const transport = new SmtpTransport({
    protocol: 'smtp',
    ...{ ca, smartHost: false, log },
    sources: [{ targets: async () => targets, tls: wanted, credentials: undefined }],
    missing: async () => more.missing,
    settings: () => ({ hostname: 'edge.test', timeouts: settings.current.delivery.timeout }),
  });
  const hop = { key: 'x.test', spec: { kind: 'mx', domain: 'x.test' }, tls: 'required' } as const;
  const destination = new Destination(hop, transport, { settings, log });
  stack.defer(() => destination.stop(1000));
  const job = testJob();
  destination.submit(job);
  const results = await job.done;
  return {
    result: brief(results)[0],
    insecure: results[0]?.insecure === true,
    text: results[0]?.outcome.reply.text ?? '',
    /** Of each host: the lines that it heard in clear text before TLS, or at all; and MAIL. */
    lines: sinks.map(({ sessions }) => sessions.flatMap((session) => session.lines)),
    mail: sinks.flatMap(({ messages }) => messages.map(({ from }) => from.parameters)).flat(),
    taken: sinks.map(({ messages }) =>
      messages.map(({ session }) => (session.tls === undefined ? 'clear' : 'TLS')).join(),
    ),
  };
}

const CLEAR: Peer = { sink: {} };
const TLS: Peer = { sink: { tls } };
const FOREIGN: Peer = { sink: { tls: other } };
const DOWN: Peer = { down: true };
const answering = (verb: string, line: string): Peer => ({
  sink: { tls, script: (step) => (step.verb === verb ? line : undefined) },
});
const OFFERS: Peer = { sink: { tls, extensions: ['PIPELINING', 'REQUIRETLS'] } };
const FOREIGN_OFFERS: Peer = { sink: { tls: other, extensions: ['REQUIRETLS'] } };
const CLEAR_OFFERS: Peer = { sink: { extensions: ['REQUIRETLS'] } };
const unproven = (peer: Peer): Peer => ({ ...peer, target: { unproven: true } });
const unknown = (peer: Peer): Peer => ({ ...peer, target: { unproven: true, stsUnknown: true } });
const POLICY: StsPolicy = { id: '1', mode: 'testing', mx: ['mx1.test'], lines: [] };
const proven = (peer: Peer, matches: boolean): Peer => ({
  ...peer,
  target: { unproven: true, sts: { policy: POLICY, matches } },
});
const PROMISED: Peer = { ...CLEAR, target: { sts: { policy: { ...POLICY, mode: 'enforce' }, matches: true } } };

/** What comes of it, and which host took it how. */
const CASES: [name: string, Partial<TlsRules>, Peer[], result: string, taken: string[]][] = [
  ['forced, TLS is there', FORCED, [TLS], 'delivered 250 2.0.0', ['TLS']],
  ['forced, any certificate will do', FORCED, [FOREIGN], 'delivered 250 2.0.0', ['TLS']],
  ['forced, no host has TLS', FORCED, [CLEAR, CLEAR], 'failed 550 5.7.10', ['', '']],
  ['forced, the next host has TLS', FORCED, [CLEAR, TLS], 'delivered 250 2.0.0', ['', 'TLS']],
  ['forced, one host is down', FORCED, [DOWN, CLEAR], 'deferred 454 4.7.4', ['', '']],
  ['forced, the last host is down', FORCED, [CLEAR, DOWN], 'deferred 451 4.4.1', ['', '']],
  ['forced, TLS is off for now', FORCED, [answering('STARTTLS', '454 4.7.0 later')], 'deferred 454 4.7.4', ['']],
  ['forced, STARTTLS is refused', FORCED, [answering('STARTTLS', '554 5.7.0 no')], 'failed 550 5.7.10', ['']],
  ['forced, the handshake fails', FORCED, [{ sink: { tls: 'fail' } }], 'failed 550 5.7.10', ['']],
  ['forced, the domain promises TLS', FORCED, [PROMISED], 'deferred 454 4.7.4', ['']],
  ['forced, the policy cannot be had now', FORCED, [unknown(CLEAR)], 'deferred 454 4.7.4', ['']],
  ['forced, the policy cannot be had, TLS is there', FORCED, [unknown(FOREIGN)], 'delivered 250 2.0.0', ['TLS']],
  ['verified, the policy cannot be had now', VERIFIED, [unknown(FOREIGN)], 'deferred 454 4.7.5', ['']],
  ['verified, the domain promises TLS', VERIFIED, [PROMISED], 'deferred 454 4.7.4', ['']],
  ['verified', VERIFIED, [TLS], 'delivered 250 2.0.0', ['TLS']],
  ['verified, the certificate is foreign', VERIFIED, [FOREIGN], 'failed 550 5.7.10', ['']],
  ['REQUIRETLS', REQUIRETLS, [OFFERS], 'delivered 250 2.0.0', ['TLS']],
  ['REQUIRETLS at the second host', REQUIRETLS, [TLS, OFFERS], 'delivered 250 2.0.0', ['', 'TLS']],
  ['REQUIRETLS nowhere', REQUIRETLS, [TLS, CLEAR], 'failed 550 5.7.30', ['', '']],
  ['REQUIRETLS offered in clear text', REQUIRETLS, [CLEAR_OFFERS], 'failed 550 5.7.10', ['']],
  ['REQUIRETLS with a foreign certificate', REQUIRETLS, [FOREIGN_OFFERS], 'failed 550 5.7.10', ['']],
  ['REQUIRETLS, one host is down', REQUIRETLS, [TLS, DOWN], 'deferred 451 4.4.1', ['', '']],
  ['REQUIRETLS, the host is not proven', REQUIRETLS, [unproven(OFFERS)], 'failed 550 5.7.10', ['']],
  ['REQUIRETLS, the policy cannot be had now', REQUIRETLS, [unknown(OFFERS)], 'deferred 454 4.7.10', ['']],
  ['other mail, the policy cannot be had now', {}, [unknown(TLS)], 'delivered 250 2.0.0', ['TLS']],
  ['REQUIRETLS, MTA-STS proves the host', REQUIRETLS, [proven(OFFERS, true)], 'delivered 250 2.0.0', ['TLS']],
  ['REQUIRETLS, MTA-STS names others', REQUIRETLS, [proven(OFFERS, false)], 'failed 550 5.7.10', ['']],
];
for (const [name, rules, peers, expected, taken] of CASES) {
  test(`${name}: ${expected}`, async () => {
    const sent = await send(rules, peers);
    assert.equal(sent.result, expected, sent.text);
    assert.deepEqual(sent.taken, taken);
    assert.equal(sent.insecure, expected.startsWith('failed'));
    for (const lines of sent.lines) if (lines.includes('DATA')) assert.ok(taken.includes('TLS'));
    const always = rules.demand?.requireTls === 'always' && expected.startsWith('delivered');
    assert.deepEqual(sent.mail.includes('REQUIRETLS'), always, sent.mail.join(' '));
  });
}

test('the reply says in one sentence what was wanted, and what there is', async () => {
  const clear = await send(FORCED, [CLEAR]);
  assert.match(
    clear.text,
    /^TLS is required for this message, but mx1\.test\[127\.0\.0\.1\]:\d+ does not offer STARTTLS$/,
  );
  const waiting = await send(FORCED, [unknown(CLEAR)]);
  assert.match(
    waiting.text,
    / does not offer STARTTLS; whether x\.test promises it cannot be told, since its MTA-STS policy cannot be had now$/,
  );
  const without = await send(REQUIRETLS, [TLS]);
  assert.match(without.text, /^this message needs REQUIRETLS, which mx1\.test\[127\.0\.0\.1\]:\d+ does not offer$/);
  const proof = await send(REQUIRETLS, [unproven(OFFERS)]);
  assert.equal(
    proof.text,
    'REQUIRETLS needs a mail exchanger that is proven by DNSSEC or MTA-STS, and mx1.test is not',
  );
  assert.deepEqual(proof.lines, [[]], 'it is not connected to');
});

test('a host that is not used hears nothing of the message', async () => {
  for (const rules of [FORCED, REQUIRETLS]) {
    const { lines } = await send(rules, [CLEAR]);
    // Whether QUIT was read yet is a matter of moments.
    assert.deepEqual(
      lines[0]?.filter((line) => line !== 'QUIT'),
      ['EHLO edge.test'],
    );
  }
});

test('a message waits while a host may be there whose address is not known', async () => {
  const missing = new Unreachable('deferred', reply(451, '4.4.3', 'DNS gave no answer for mx2.test'));
  const sent = await send(FORCED, [CLEAR], { missing });
  assert.deepEqual([sent.result, sent.insecure], ['deferred 454 4.7.4', false]);
});

/** RFC 8689 §5: what says that mail failed goes on, with REQUIRETLS where that holds. */
for (const [name, peer, taken, requireTls] of [
  ['a host that offers it', OFFERS, 'TLS', true],
  ['a host that does not', TLS, 'TLS', false],
  ['a host without TLS', CLEAR_OFFERS, 'clear', false],
  ['a foreign certificate', FOREIGN_OFFERS, 'TLS', false],
  ['a host that is not proven', unproven(OFFERS), 'TLS', false],
] as const) {
  test(`a notification goes to ${name} ${requireTls ? 'with' : 'without'} REQUIRETLS`, async () => {
    const sent = await send(NOTIFICATION, [peer]);
    assert.equal(sent.result, 'delivered 250 2.0.0');
    assert.deepEqual([sent.taken, sent.mail.includes('REQUIRETLS')], [[taken], requireTls]);
  });
}

test('TLS-Required: No goes in TLS where that works, and else without', async () => {
  assert.deepEqual((await send(RENOUNCED, [TLS])).taken, ['TLS']);
  assert.deepEqual((await send(RENOUNCED, [{ sink: { tls: 'fail' } }])).taken, ['clear']);
  const remembered = await send(RENOUNCED, [CLEAR], { wait: true });
  assert.deepEqual([remembered.result, remembered.taken], ['delivered 250 2.0.0', ['clear']]);
  const others = await send({ tls: 'opportunistic' }, [CLEAR], { wait: true });
  assert.deepEqual([others.result, others.taken], ['deferred 454 4.7.4', ['']]);
});
