import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, MESSAGE, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Delivery to Postfix: its sink for many concurrent messages, and the real server with TLS and pipelining. */

test('smtp-sink gets a thousand messages over a few connections', needs('smtp-sink'), async () => {
  await using dir = await tempDir();
  const port = await freePort();
  await using sink = new Program('smtp-sink', ['-c', '-u', 'nobody', `127.0.0.1:${port}`, '100'], { cwd: dir.path });
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 5 } }) });
  const hop = smtpHop(port, { tls: 'off' });
  await waitFor(async () => (await delivery.run(hop, testJob()))[0]?.[0]?.state === 'delivered', { what: 'smtp-sink' });
  const message = `Subject: x\r\n\r\n${'.dots\r\n..\r\nand text\r\n'.repeat(500)}`;
  const results = await delivery.run(hop, ...Array.from({ length: 1000 }, () => testJob({ message })));
  assert.ok(results.every(([result]) => result?.state === 'delivered'));
  assert.equal(sink.exit, undefined);
});

/** Postfix that accepts mail for d.test and holds it. */
async function startHoldingPostfix(dir: string, port: number): Promise<Program> {
  const { certificateFile, keyFile } = await writeCertificate(dir, { names: ['mx.d.test'] });
  const settings = `myhostname = mx.d.test
mydestination = d.test
local_recipient_maps = inline:{ {b@d.test=x} {c@d.test=x} }
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_data_restrictions = check_sender_access static:hold
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${certificateFile}
smtpd_tls_key_file = ${keyFile}
smtpd_forbid_unauth_pipelining = yes
message_size_limit = 100000
smtputf8_enable = yes
`;
  return await startPostfix(dir, port, settings);
}

const root = process.getuid?.() === 0 ? needs('smtp-sink') : { skip: 'Postfix starts as root only' };

test('Postfix takes mail in TLS, answers each recipient, and finds nothing odd', root, async () => {
  await using dir = await tempDir('postfix');
  const port = await freePort();
  await using postfix = await startHoldingPostfix(dir.path, port);
  const log = async (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8');
  await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix', timeout: 20_000 }).catch(
    (error) => {
      throw new Error(`Postfix did not start: ${postfix.output}`, { cause: error });
    },
  );
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
  const hop = smtpHop(port, { tls: 'required' });
  const message = `${MESSAGE}${'.\r\n..\r\ntext\r\n'.repeat(2000)}`;
  const job = testJob({ recipients: ['b@d.test', 'nobody@d.test', 'c@d.test', 'x@elsewhere.test'], message });
  const [results = []] = await delivery.run(hop, job);
  assert.deepEqual(
    brief(results),
    ['delivered 250 2.0.0', 'failed 550 5.1.1', 'delivered 250 2.0.0', 'failed 554 5.7.1'],
    `${JSON.stringify(results)}\n${await log()}`,
  );
  assert.equal(results[0]?.outcome.tls?.protocol, 'TLSv1.3');
  assert.equal(results.find(({ index }) => index === 0)?.notice, 'passed');

  const next = await delivery.run(
    hop,
    testJob({ recipients: ['nobody@d.test'] }),
    testJob({ recipients: ['b@d.test'] }),
  );
  assert.deepEqual(
    next.map(brief),
    [['failed 550 5.1.1'], ['delivered 250 2.0.0']],
    'the connection goes on behind a refusal',
  );
  const [large = []] = await delivery.run(hop, testJob({ recipients: ['b@d.test'], message: 'x'.repeat(100_001) }));
  assert.deepEqual(brief(large), ['failed 552 5.3.4']);
  const utf8 = testJob({
    recipients: [{ address: 'b@d.test', notify: ['FAILURE'], orcpt: 'rfc822;b+x@d.test' }],
    smtpUtf8: true,
    eightBitBody: true,
    ret: 'HDRS',
    envid: 'envelope=1',
    message: 'Subject: Grüße\r\n\r\nGrüße\r\n',
  });
  assert.deepEqual((await delivery.run(hop, utf8)).map(brief), [['delivered 250 2.0.0']]);

  await delivery.stop();
  await waitFor(async () => /disconnect from .* quit=1/.test(await log()), { what: 'QUIT in the log of Postfix' });
  // Postfix logs what it finds odd about a client: pipelining out of turn, bare line ends, connections that break off.
  const spoken = (await log()).split('\n').filter((line) => line.includes('/smtpd['));
  assert.deepEqual(
    spoken.filter((line) => /warning|lost connection|improper|bare|SSL_accept error/i.test(line)),
    [],
  );
  const held = (await log()).match(/hold: /g);
  assert.equal(held?.length, 3);
});
