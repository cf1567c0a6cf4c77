import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateKeyPair, SignJWT } from 'jose';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { AUDIENCE, CLIENT, OpenIdProvider } from '#test/kit/openid/openid-provider.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { SECRET } from '#test/unit/policy/fixtures.ts';

/** A whole node and a real OpenID provider: curl logs in with a token, and the node does at its smart host. */

/** curl's exit status where the server denies the log-in. */
const LOGIN_DENIED = 67;

const PYTHON = `
import smtplib, ssl, sys
port, ca, token, sender, recipient, mail = sys.argv[1:]
with smtplib.SMTP_SSL('127.0.0.1', int(port), context=ssl.create_default_context(cafile=ca)) as server:
    server.ehlo()
    server.auth('XOAUTH2', lambda challenge=None: 'user=alice\\x01auth=Bearer ' + token + '\\x01\\x01' if challenge is None else '')
    server.sendmail(sender, [recipient], open(mail, 'rb').read())
`;

const clients = needs('curl', 'python3');

async function submissionNode(provider: OpenIdProvider, sink: SmtpSink) {
  const port = await freePort();
  const node = await SealpostNode.create({
    sink: sink.port,
    config: [
      `listeners: [{ name: submission, kind: submission, address: 127.0.0.1, port: ${port}, tls: implicit }]`,
      'tls: { certificate: ./cert.pem, key: ./key.pem }',
      'directory: { users: ./users.yaml }',
      'authentication:',
      '  oauth:',
      `    - { issuer: "${provider.issuer}", audience: "${AUDIENCE}", user-claim: preferred_username, scopes: [smtp] }`,
    ].join('\n'),
  });
  const files = await writeCertificate(node.folder, { names: ['127.0.0.1'] });
  for (const [name, text] of [
    ['cert.pem', files.certificate],
    ['key.pem', files.key],
    ['users.yaml', `users: [{ name: alice, password: "${SECRET}", addresses: [alice@example.com] }]\n`],
    ['mail.eml', 'From: alice@example.com\r\nTo: b@far.test\r\nSubject: by token\r\n\r\ntext\r\n'],
  ] as const) {
    await writeFile(join(node.folder, name), text, { mode: 0o600 });
  }
  const program = await node.start();
  const run = async (command: string, args: string[]) => {
    await using client = new Program(command, args);
    return { exit: await client.ended(), output: client.output };
  };
  const path = ['alice@example.com', 'b@far.test'] as const;
  /** curl takes OAUTHBEARER wherever it is offered. */
  const curl = (token: string) => {
    const server = [`smtps://127.0.0.1:${port}`, '--cacert', files.caFile, '--user', 'alice', '--oauth2-bearer', token];
    const mail = ['--mail-from', path[0], '--mail-rcpt', path[1], '--upload-file', join(node.folder, 'mail.eml')];
    return run('curl', ['--silent', '--show-error', '--max-time', '20', ...server, ...mail]);
  };
  /** smtplib takes XOAUTH2. */
  const python = (token: string) =>
    run('python3', ['-c', PYTHON, String(port), files.caFile, token, ...path, join(node.folder, 'mail.eml')]);
  return { node, program, curl, python, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}

test(
  'A1 curl and smtplib submit with a token of a real provider; expired, foreign and forged ones are refused',
  clients,
  async () => {
    await using provider = await OpenIdProvider.start();
    await using sink = await SmtpSink.start();
    await using given = await submissionNode(provider, sink);
    const { curl, python, program } = given;
    const token = await provider.tokenFor('alice');
    for (const client of [curl, python]) {
      const { exit, output } = await client(token);
      assert.equal(exit, 0, output);
    }
    await waitFor(() => sink.messages.length === 2, { what: 'the mail of both log-ins' });

    const claims = { iss: provider.issuer, aud: AUDIENCE, preferred_username: 'alice', scope: 'smtp' };
    const { privateKey } = await generateKeyPair('RS256');
    const forged = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'first' }).setExpirationTime('1h');
    for (const [wrong, reason] of [
      [await provider.sign({ ...claims, exp: Math.floor(Date.now() / 1000) - 3600 }), 'the token has expired'],
      [await provider.tokenFor('alice', { audience: 'urn:another' }), 'the claim aud of the token does not fit'],
      [await forged.sign(privateKey), 'the signature of the token is not by its provider'],
    ] as const) {
      assert.equal((await curl(wrong)).exit, LOGIN_DENIED, reason);
      assert.match((await python(wrong)).output, /SMTPAuthenticationError: \(535, b'5\.7\.8/);
      for (const mechanism of ['OAUTHBEARER', 'XOAUTH2']) {
        await program.waitForOutput(new RegExp(`"mechanism":"${mechanism}".*"reason":"${reason}"`));
      }
    }
    assert.equal(sink.messages.length, 2);
    for (const secret of [token, token.split('.')[2] ?? '']) assert.ok(!program.output.includes(secret));
  },
);

test('A6 mail waits for a provider that is away, queue show says why, and goes out with its token when it is back', async () => {
  await using provider = await OpenIdProvider.start();
  await provider.stop();
  await using sink = await SmtpSink.start({ extensions: ['AUTH XOAUTH2'] });
  const grant = `{ token-endpoint: "${provider.tokenEndpoint}", client-id: ${CLIENT.id}, client-secret: { file: ./client-secret } }`;
  await using node = await SealpostNode.create({
    config: `routes: [{ to: "*", via: "smtp://news@example.com@127.0.0.1:${sink.port}", oauth: ${grant} }]\n`,
  });
  await writeFile(join(node.folder, 'client-secret'), `${CLIENT.secret}\n`, { mode: 0o600 });
  const program = await node.start();
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  for (const line of ['EHLO client.test', 'MAIL FROM:<a@client.test>', 'RCPT TO:<b@far.test>'])
    await client.say(line, 250);
  await client.say('DATA', 354);
  const accepted = await client.say('Subject: x\r\n\r\nx\r\n.', 250);
  const id = /[0-9A-Za-z]{10,}/.exec(accepted.text)?.[0] ?? '';
  await waitFor(async () => /no access token for this route/.test(await node.sealpost('queue', 'show', id)), {
    what: `the reason in queue show: ${await node.sealpost('queue', 'show', id)}`,
  });
  assert.match(await node.sealpost('queue', 'show', id), /454 4\.7\.0 no access token .*\/token gave no answer/);
  assert.equal(sink.sessions.length, 0);
  await provider.resume();
  await waitFor(
    async () => {
      await node.sealpost('queue', 'retry', id).catch(() => undefined);
      return sink.messages.length === 1;
    },
    { what: 'the mail at the smart host', timeout: 30_000 },
  );
  const auth = sink.messages[0]?.session.auth;
  assert.equal(auth?.user, 'news@example.com');
  assert.equal((await provider.introspect(auth?.password ?? ''))?.['client_id'], CLIENT.id);
  const shown = await node.sealpost('config', 'show');
  for (const text of [program.output, shown]) {
    for (const secret of [CLIENT.secret, auth?.password ?? '?']) assert.ok(!text.includes(secret));
  }
});
