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
import { brief, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** CHUNKING with Postfix, which logs how many BDAT it took, and what it finds odd about a client. */

const root = process.getuid?.() === 0 ? needs('smtp-sink') : { skip: 'Postfix starts as root only' };
const MESSAGES = 20;
/** Dots, 8-bit text, and no line end at the end. */
const BODY = `${'.\r\n..\r\n.Grüße\r\n'.repeat(500)}end`;
const MESSAGE = `Subject: chunks\r\n\r\n${BODY}`;

for (const offered of [true, false]) {
  const title = offered ? 'gets all but the first message of a session by BDAT' : 'without CHUNKING gets DATA alone';
  test(`Postfix ${title}, each once and whole`, root, async () => {
    await using dir = await tempDir('postfix');
    const port = await freePort();
    const { certificateFile, keyFile } = await writeCertificate(dir.path, { names: ['mx.d.test'] });
    await using postfix = await startPostfix(
      dir.path,
      port,
      `myhostname = mx.d.test
mydestination = d.test
local_recipient_maps = inline:{ {b@d.test=x} {c@d.test=x} }
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_data_restrictions = reject_unauth_pipelining, check_sender_access static:hold
smtpd_forbid_unauth_pipelining = yes
smtpd_forbid_bare_newline = reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${certificateFile}
smtpd_tls_key_file = ${keyFile}
${offered ? '' : 'smtpd_discard_ehlo_keywords = chunking'}
`,
    );
    const log = async (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8').catch(() => '');
    await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix', timeout: 20_000 });
    await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
    const hop = smtpHop(port, { tls: 'required' });
    const recipients = ['b@d.test', 'nobody@d.test', 'c@d.test', 'x@elsewhere.test'];
    const jobs = Array.from({ length: MESSAGES }, (_, i) =>
      testJob({ message: MESSAGE, eightBitBody: true, recipients: i % 5 === 4 ? ['nobody@d.test'] : recipients }),
    );
    for (const [i, results] of (await delivery.run(hop, ...jobs)).entries()) {
      const mixed = ['delivered 250 2.0.0', 'failed 550 5.1.1', 'delivered 250 2.0.0', 'failed 554 5.7.1'];
      assert.deepEqual(brief(results), i % 5 === 4 ? ['failed 550 5.1.1'] : mixed, await log());
    }
    await delivery.stop();
    await waitFor(async () => /disconnect from .* quit=1/.test(await log()), { what: 'QUIT in the log' });
    const said = await log();
    const bdat = /disconnect from .* bdat=(\d+)(?:\/(\d+))?/.exec(said);
    // One more for the first of them, which goes in two chunks, and those without a recipient, which are refused.
    assert.deepEqual(bdat?.slice(1), offered ? ['16', '20'] : undefined, said);
    assert.doesNotMatch(said, /smtpd\[.*(?:warning|lost connection|improper|bare|SSL_accept error)/i);
    const ids = [...said.matchAll(/ ([0-9A-F]+): hold: /g)].map(([, id]) => id ?? '');
    const held = new Set(ids);
    assert.equal(held.size, MESSAGES - MESSAGES / 5);
    for (const id of held) {
      await using cat = new Program('postcat', ['-c', dir.path, '-b', '-q', id]);
      await cat.ended();
      // The empty line before the body is part of what it prints.
      assert.ok(cat.stdout === `\n${BODY.replaceAll('\r\n', '\n')}\n`, `message ${id} differs`);
    }
    assert.equal(postfix.exit, undefined);
  });
}
