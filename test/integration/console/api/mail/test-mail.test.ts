import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { MessageReply } from '#services/console/schemas/messages.ts';
import type { TestListeners, TestMailReply } from '#services/console/schemas/test-mail.ts';
import type { Answer, ConsoleClient } from '#test/kit/console/client.ts';
import { MailSite, NASTY } from '#test/kit/console/mail-site.ts';
import { PASSWORD } from '#test/kit/console/site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Test messages through the API: by SMTP, through real listeners, and under the rules of any client. */

let mail: MailSite;
let robot: ConsoleClient;

before(async () => {
  const [mx, submission, submissions, proxied] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  mail = await MailSite.start({
    config: `
tls: { certificate: ./cert.pem, key: ./key.pem }
listeners:
  - { name: mx, kind: relay, address: "::", port: ${mx} }
  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: starttls-required }
  - { name: submissions, kind: submission, address: 127.0.0.1, port: ${submissions}, tls: implicit }
  - { name: proxied, kind: relay, address: 127.0.0.1, port: ${proxied}, tls: none, proxy: [127.0.0.1] }
relay: { allow: { domains: [example.net] } }
domains: [{ name: example.com, keys: { proof: none } }]
`,
    prepare: async (folder) => {
      await writeCertificate(folder, { names: ['edge.test'] });
    },
  });
  await mail.site.node.createKey('example.com', 's1', 'ed25519');
  robot = mail.site.program('robot');
});
after(async () => await mail[Symbol.asyncDispose]());

const MAIL = {
  node: 'edge-1',
  listener: 'mx',
  from: 'carol@example.org',
  to: 'bob@example.net',
  subject: 'Try',
  text: 'x',
};

const send = (more: object = {}, client = robot): Promise<Answer> =>
  client.post('/api/test-mail', { ...MAIL, ...more });

async function sent(more: object = {}, client = robot): Promise<TestMailReply> {
  const { status, text, json } = await send(more, client);
  assert.equal(status, 200, text);
  return json;
}

async function told(id: string | undefined): Promise<MessageReply> {
  return waitFor(
    async () => {
      const reply: MessageReply = (await robot.get(`/api/messages/${id}`)).json;
      return reply.state === 'delivered' ? reply : undefined;
    },
    { what: `${id} delivered` },
  );
}

test('the listeners of the node are listed', async () => {
  const { listeners, silent }: TestListeners = (await robot.get('/api/test-mail/listeners')).json;
  assert.deepEqual(silent, []);
  assert.deepEqual(
    listeners.map(({ node, name, kind, tls }) => `${node} ${name} ${kind} ${tls}`),
    [
      'edge-1 mx relay starttls',
      'edge-1 submission submission starttls-required',
      'edge-1 submissions submission implicit',
      'edge-1 proxied relay none',
    ],
  );
});

test('a message is accepted with TLS, told step by step with the reasons of policy, and delivered', async () => {
  const reply = await sent({ subject: `Grüße ${NASTY}`, text: '.\r\nä' });
  const { steps, client, tls, queueId } = reply;
  assert.equal(client, '127.0.0.1');
  assert.match(tls?.protocol ?? '', /^TLSv1\.[23]$/);
  assert.match(tls?.problem ?? '', /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/);
  assert.deepEqual(
    steps.map(({ command, refused }) => `${command} ${refused}`),
    [
      ...['connects', 'EHLO edge.test', 'STARTTLS', 'EHLO edge.test', 'MAIL FROM:<carol@example.org>'],
      ...['RCPT TO:<bob@example.net>', 'DATA', 'the message'],
    ].map((command) => `${command} false`),
  );
  assert.ok(steps.find(({ command }) => command.startsWith('RCPT'))?.why.length, 'policy gives its reasons');
  assert.ok(steps.at(-1)?.why.length, 'of the message too');
  assert.ok(reply.fields.some((field) => field.startsWith('Received: ')));
  const { steps: journey } = await told(queueId);
  assert.equal(journey[0]?.kind, 'accepted');
  const arrived = mail.sink.messages.find(({ data }) => data.includes('carol@example.org'));
  assert.match(arrived?.data.toString() ?? '', /^Subject: =\?UTF-8\?B\?/m);
  assert.match(await mail.site.node.sealpost('audit'), /test message from carol@example\.org to bob@example\.net/);
});

test('no rule is passed by: what would be relaying is refused, and nothing is queued', async () => {
  const { steps, queueId, error } = await sent({ to: 'bob@elsewhere.test' });
  assert.equal(queueId, undefined);
  assert.equal(error, undefined);
  const last = steps.at(-1);
  assert.equal(last?.command, 'RCPT TO:<bob@elsewhere.test>');
  assert.equal(last?.refused, true);
  assert.match(last?.reply[0] ?? '', /^55\d /);
  assert.ok(last?.why.length);
  assert.equal(await mail.site.node.queued(), 0);
});

for (const listener of ['submission', 'submissions']) {
  test(`with a password, a user submits at ${listener}, and the message is signed`, async () => {
    const login = { user: 'alice', password: PASSWORD };
    const { queueId, steps } = await sent({ listener, from: 'alice@example.com', to: 'x@far.test', login });
    assert.ok(steps.some(({ command }) => command === 'AUTH PLAIN (user alice)'));
    const attempt = (await told(queueId)).steps.find(({ kind }) => kind === 'attempt');
    assert.deepEqual(attempt?.kind === 'attempt' && attempt.signatures, ['s1.example.com']);
  });
}

test('without a password nobody submits, with a wrong one neither, and none is shown anywhere', async () => {
  const nobody = await sent({ listener: 'submission', from: 'alice@example.com' });
  assert.match(nobody.steps.at(-1)?.reply.join() ?? '', /^530 /);
  const login = { user: 'alice', password: 'a-wrong-password' };
  const { text, json } = await send({ listener: 'submission', from: 'alice@example.com', login });
  const wrong: TestMailReply = json;
  assert.match(wrong.steps.at(-1)?.reply.join() ?? '', /^535 /);
  const encoded = Buffer.from(`\0alice\0${login.password}`).toString('base64');
  const logs = [...mail.site.node.programs.values()].map(({ output }) => output).join();
  for (const secret of [login.password, encoded, PASSWORD]) {
    assert.ok(!text.includes(secret));
    assert.ok(!logs.includes(secret));
  }
});

test('where the listener takes its machine for a proxy, it speaks for itself', async () => {
  const { queueId, tls } = await sent({ listener: 'proxied' });
  assert.equal(tls, undefined);
  assert.equal((await told(queueId)).state, 'delivered');
});

test('a domain administrator sends from addresses of her domains alone', async () => {
  const ours = mail.site.program('ours');
  const { status, text } = await send({ from: 'carol@example.org' }, ours);
  assert.equal(status, 403, text);
  assert.ok((await sent({ from: 'dora@example.com', listener: 'proxied' }, ours)).steps.length > 0);
});

test('a domain administrator does not hear who there is elsewhere', async () => {
  const ours = mail.site.program('ours');
  const whyOf = async (user: string, client: ConsoleClient): Promise<string> => {
    const login = { user, password: 'a-wrong-password' };
    const { steps } = await sent({ listener: 'submission', from: 'dora@example.com', login }, client);
    return steps.find(({ command }) => command.startsWith('AUTH'))?.why.join() ?? 'no such step';
  };
  assert.match(await whyOf('nobody', robot), /user nobody: unknown user/);
  assert.equal(await whyOf('nobody', ours), '');
  // Of the users file: policy was asked without the password.
  assert.equal(await whyOf('mallory', robot), 'with the right password the reply would be 235');
  assert.equal(await whyOf('mallory', ours), '');
  const made = { name: 'hugo', password: PASSWORD, addresses: ['hugo@example.com'] };
  assert.equal((await robot.post('/api/users', made)).status, 200);
  // Maybe policy has not heard of him yet: that is an answer too.
  assert.notEqual(await whyOf('hugo', ours), '');
});

test('line ends in a field, another listener and another node are refused with the reason', async () => {
  for (const more of [{ from: 'a@b.test>\r\nRCPT TO:<c@d.test' }, { subject: 'x\r\nBcc: c@d.test' }, { to: 'nobody' }])
    assert.equal((await send(more)).status, 422);
  const listener = await send({ listener: 'imap' });
  assert.deepEqual([listener.status, /open: mx, submission/.test(listener.text)], [404, true]);
  const node = await send({ node: 'edge-9' });
  assert.deepEqual([node.status, /no listener of node edge-9 takes/.test(node.text)], [503, true], node.text);
});

test('a message is followed by its events until it has left', async () => {
  const { queueId } = await sent();
  const stop = new AbortController();
  const states: string[] = [];
  for await (const { event, data } of robot.events(`message&message=${queueId}`, stop.signal)) {
    assert.equal(event, 'message');
    const { told: message } = data as { told?: MessageReply };
    states.push(message?.state ?? '');
    if (message?.state === 'delivered') break;
    assert.ok(states.length < 30, states.join());
  }
  stop.abort();
  assert.equal(states.at(-1), 'delivered');
});

test('no more than so many in a minute', async () => {
  const statuses: number[] = [];
  for (let n = 0; n < 25; n++) statuses.push((await send({ to: 'nobody' })).status);
  assert.equal(statuses.at(-1), 429);
});
