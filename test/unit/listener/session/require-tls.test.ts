import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** REQUIRETLS (RFC 8689) as clients see it. */

async function withTls(listener: Record<string, unknown>) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const files = await writeCertificate(dir.path, { names: ['mx.test'] });
  const tls = { certificate: files.certificateFile, key: files.keyFile };
  const server = stack.use(await startListener({ listener, config: { tls } }));
  const upgrade = async (client: Dialogue): Promise<string> => {
    await client.say('STARTTLS');
    await client.upgrade({ ca: files.ca, servername: 'mx.test' });
    return client.say('EHLO client.test');
  };
  return { server, upgrade, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('REQUIRETLS is offered and taken in TLS only, and goes with the envelope', async () => {
  await using given = await withTls({ tls: 'starttls', requiretls: true });
  const { server } = given;
  using client = await server.connect();
  await client.reply();
  assert.doesNotMatch(await client.say('EHLO client.test'), /REQUIRETLS/);
  assert.equal(
    await client.say('MAIL FROM:<a@b.test> REQUIRETLS'),
    '530 5.7.10 REQUIRETLS needs TLS: issue STARTTLS first',
  );
  assert.match(await given.upgrade(client), /^250.REQUIRETLS$/m);
  assert.equal(await client.say('MAIL FROM:<a@b.test> REQUIRETLS=yes'), '501 5.5.4 REQUIRETLS takes no value');
  assert.match(await client.say('MAIL FROM:<a@b.test> SIZE=10 requiretls'), /^250/);
  await client.sayAll('RCPT TO:<c@d.test>', 'DATA', '.');
  assert.match(await client.say('MAIL FROM:<a@b.test>'), /^250/);
  await client.sayAll('RCPT TO:<c@d.test>', 'DATA', '.');
  const { messages } = server.router;
  assert.deepEqual(
    messages.map(({ envelope }) => envelope.requireTls),
    [true, undefined],
  );
});

for (const [listener, secure] of [
  [{ tls: 'none', requiretls: true }, false],
  [{ kind: 'relay', tls: 'starttls' }, false],
  [{ kind: 'relay', tls: 'starttls' }, true],
  [{ kind: 'submission', tls: 'starttls', requiretls: false }, true],
] as const) {
  test(`a listener with ${JSON.stringify(listener)} does not know it, ${secure ? 'in TLS' : 'in clear text'}`, async () => {
    await using given = await withTls(listener);
    using client = await given.server.connect();
    await client.reply();
    let offers = await client.say('EHLO client.test');
    if (secure) offers = await given.upgrade(client);
    assert.doesNotMatch(offers, /REQUIRETLS/);
    assert.equal(
      await client.say('MAIL FROM:<a@b.test> REQUIRETLS'),
      '555 5.5.4 MAIL parameter REQUIRETLS is not known',
    );
  });
}

test('a submission listener offers it without being told', async () => {
  await using given = await withTls({ kind: 'submission', tls: 'starttls' });
  using client = await given.server.connect();
  await client.reply();
  await client.say('EHLO client.test');
  assert.match(await given.upgrade(client), /^250.REQUIRETLS$/m);
});
