import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** Settings of listeners that administrators of Domino know, each by Domino's name for it. */

test('SMTPGreeting: the text after the host name, with the date for %s; neither product nor version by default', async () => {
  await using plain = await startListener();
  using client = await plain.connect();
  assert.equal(await client.reply(), '220 mx.test ESMTP');
  await using server = await startListener({ listener: { greeting: 'No spam $& please; %s' } });
  using other = await server.connect();
  const [, date = ''] =
    /^220 mx\.test ESMTP No spam \$& please; (\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000)$/.exec(await other.reply()) ??
    [];
  assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000, date);
});

test('SMTPStrict821AddressSyntax: angle brackets are required, unless a listener is lenient', async () => {
  const commands = [
    'MAIL FROM:a@b.test SIZE=10',
    'MAIL FROM:<a@b.test>',
    'RCPT TO: c@d.test NOTIFY=NEVER',
    'RCPT TO:<c@d.test>',
  ];
  const codes = async (port: number, ...said: string[]) => {
    using client = await Dialogue.greeted(port);
    return (await client.sayAll(...said)).map((heard) => heard.slice(0, 9));
  };
  await using strict = await startListener();
  assert.deepEqual(await codes(strict.port, ...commands), ['501 5.1.7', '250 2.1.0', '501 5.1.3', '250 2.1.5']);
  await using lenient = await startListener({ listener: { 'address-syntax': 'lenient' } });
  assert.deepEqual(
    await codes(
      lenient.port,
      'MAIL FROM:a@b.test SIZE=10',
      'RCPT TO: c@d.test NOTIFY=NEVER',
      'RCPT TO:<e@d.test>',
      'RCPT TO:postmaster',
    ),
    ['250 2.1.0', '250 2.1.5', '250 2.1.5', '250 2.1.5'],
  );
  const asked = lenient.policy.calls.findLast(({ operation }) => operation === 'sender-check');
  assert.ok(asked);
  const { reversePath, size } = asked.request as { reversePath?: string; size?: number };
  assert.deepEqual({ reversePath, size }, { reversePath: 'a@b.test', size: 10 });
  // Lenient with brackets, not with what an address is.
  for (const path of ['', 'a@b.test>', '<a@b.test', '@x.test:a@b.test', 'a@b@c.test>x', 'a b@c.test', '"a b"@c.test']) {
    const [code] = await codes(lenient.port, `MAIL FROM:${path}`);
    assert.match(code ?? '', /^5/, path);
  }
});

test('SMTPStrict821LineSyntax: a command that ends otherwise than with CRLF ends the session, and nothing after it is run', async () => {
  for (const end of ['\n', '\r\r\n']) {
    await using server = await startListener();
    using client = await Dialogue.greeted(server.port);
    client.write(`NOOP${end}MAIL FROM:<smuggler@evil.test>\r\n`);
    assert.match(await client.rest(), /^500 5\.5\.2 Bare (?:LF|CR) in a command: lines end with CRLF\r\n$/);
    assert.ok(!server.policy.calls.some(({ operation }) => operation === 'sender-check'));
  }
});

test('SMTPNotesPort: a listener listens on its address and no other', async () => {
  await using server = await startListener({ listener: { address: '127.0.0.2' } });
  const reach = (host: string) => Dialogue.connect(server.port, undefined, host);
  await assert.rejects(reach('127.0.0.1'), { code: 'ECONNREFUSED' });
  using client = await reach('127.0.0.2');
  assert.match(await client.reply(), /^220/);
});

test('SMTPTimeoutMultiplier: twice the time-out is twice the patience, from the first byte to the end of a message', async () => {
  const patience = async (timeout: string, ...begin: string[]) => {
    await using server = await startListener({ config: { limits: { timeout } } });
    using client = await Dialogue.greeted(server.port);
    await client.sayAll(...begin);
    const began = performance.now();
    assert.match(await client.rest(), /^421 4\.4\.2/);
    return performance.now() - began;
  };
  const inMessage = ['MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA'];
  const [short = 0, long = 0, message = 0] = await Promise.all([
    patience('500ms'),
    patience('2s'),
    patience('2s', ...inMessage),
  ]);
  assert.ok(short >= 450 && short < long, `${short} ms`);
  assert.ok(long >= 1900 && message >= 1900, `${long} ms, ${message} ms`);
});
