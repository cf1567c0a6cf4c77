import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';

/** `sealpost tls probe`, of routes to hosts of every kind. */

test('what mail for a domain gets at its next hop, in words', { timeout: 120_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const authority = await createAuthority();
  const tls = await authority.issue({ names: ['127.0.0.1'] });
  const ported = async (options: Parameters<typeof SmtpSink.start>[0]) => stack.use(await SmtpSink.start(options)).port;
  const ports = {
    tls: await ported({ tls }),
    clear: await ported({}),
    rubbish: await ported({ tls: 'fail' }),
    down: await freePort(),
  };
  const route = (to: string, more = ''): string =>
    `{ to: ${to}.test, via: "smtp://127.0.0.1:${ports[to.split('-')[0] as keyof typeof ports]}"${more} }`;
  const routes = [
    ...[route('tls'), route('tls-verified', ', tls: verified, ca: ./ca.pem'), route('tls-public', ', tls: verified')],
    ...[route('clear'), route('clear-required', ', tls: required'), route('rubbish'), route('down')],
    '{ to: kept.test, via: capture }',
    ...[route('clear').replace('{', '{ from: bank.test,').replace(' }', ', tls: required }')],
    ...[`{ to: clear.test, user: "*", via: "smtp://127.0.0.1:${ports.tls}" }`],
    '{ to: moved.test, via: capture }',
  ];
  const node = stack.use(await SealpostNode.create({ config: `routes: [${routes.join(', ')}]` }));
  await writeFile(join(node.folder, 'ca.pem'), authority.ca);
  await node.start();
  const run = async (domain: string, ...more: string[]) => {
    const args = ['tls', 'probe', `${domain}.test`, ...more, '--config', node.configFile];
    const { code, stdout, stderr } = await sealpost(args, { cwd: node.folder });
    return { code, text: stdout.replaceAll(/\[127\.0\.0\.1\]:\d+/g, '[ADDRESS]'), stderr };
  };
  const via = `smtp://127.0.0.1:${ports.tls}`;
  await node.sealpost('queue', 'redirect', 'moved.test', '--via', via, '--for', '1h');
  const cases: [domain: string, code: number, ...sentences: RegExp[]][] = [
    [
      'tls',
      0,
      /^mail for tls\.test goes from edge-1 to 127\.0\.0\.1\[ADDRESS\], in TLS, whatever the certificate$/m,
      /^wanted +TLS if the host offers it, else clear text: nothing asks for more$/m,
      /^verdict +not from a trusted authority; for 127\.0\.0\.1; /m,
    ],
    [
      'tls-verified',
      0,
      /in TLS with a verified certificate$/m,
      /^wanted +TLS with a certificate that a trusted authority issued for it: the route says so$/m,
      /^verdict +from a trusted authority; for 127\.0\.0\.1$/m,
    ],
    [
      'tls-public',
      1,
      /^mail for tls-public\.test waits: none of its hosts can be used$/m,
      /^failed +at first: 454 4\.7\.5 a verified certificate is required for this route/m,
      /^mail +does not go to this host$/m,
    ],
    // Mail of one of the senders that have routes of their own would not leave.
    [
      'clear',
      1,
      /^mail for clear\.test goes from edge-1 to 127\.0\.0\.1\[ADDRESS\], in clear text$/m,
      /^mail +goes in clear text: 127\.0\.0\.1\[ADDRESS\] does not offer STARTTLS$/m,
      /^mail from bank\.test for clear\.test waits: none of its hosts can be used$/m,
      /^mail of users for clear\.test goes from edge-1 to 127\.0\.0\.1\[ADDRESS\], in TLS, whatever the certificate$/m,
    ],
    [
      'moved',
      0,
      /^mail for moved\.test goes from edge-1 to 127\.0\.0\.1\[ADDRESS\], in TLS, whatever the certificate; it is redirected by \S+ on \S+ until /m,
    ],
    [
      'clear-required',
      1,
      /^failed +at first: 454 4\.7\.4 TLS is required for this route, but .* does not offer STARTTLS$/m,
    ],
    [
      'rubbish',
      0,
      /^failed +at first: 454 4\.7\.5 TLS handshake with .* failed: \w+/m,
      /^failed +with a reduced ClientHello: 454 4\.7\.5 /m,
      /^mail +goes in clear text: TLS handshake with /m,
    ],
    ['down', 1, /^failed +at first: 451 4\.4\.1 cannot connect to .*ECONNREFUSED/m],
    ['kept', 0, /^mail for kept\.test stays on edge-1, by its route \(capture\): no TLS is involved$/m],
  ];
  for (const [domain, code, ...sentences] of cases) {
    const found = await run(domain);
    assert.equal(found.code, code, `${domain}: ${found.text}${found.stderr}`);
    for (const sentence of sentences) assert.match(found.text, sentence, domain);
  }
  const { stdout } = await sealpost(['tls', 'probe', 'a@TLS.test.', '--json', '--config', node.configFile], {
    cwd: node.folder,
  });
  const { domain, hosts, outcome } = JSON.parse(stdout) as { domain: string; hosts: object[]; outcome: string };
  assert.deepEqual([domain, hosts.length], ['tls.test', 1]);
  assert.match(outcome, /^mail for tls\.test goes/);
  const several = await run('clear', '--json');
  const { others } = JSON.parse(several.text) as { others: { for: object[]; hosts: object[]; outcome: string }[] };
  assert.deepEqual(
    others.map((way) => [way.for, way.hosts.length, way.outcome.split(' for ')[0]]),
    [
      [[{ from: 'bank.test' }], 1, 'mail from bank.test'],
      [[{ user: '*' }], 1, 'mail of users'],
    ],
  );
  const wrong = await sealpost(['tls', 'probe', '*', '--config', node.configFile], { cwd: node.folder });
  assert.deepEqual([wrong.code, /"\*" is not a domain/.test(wrong.stderr)], [2, true]);
});
