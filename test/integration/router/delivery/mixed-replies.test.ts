import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dovecot, lmtpOn, needsDovecot, usersIn, writeUsers } from '#test/kit/smtp/dovecot.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Real next hops that take some recipients of a message and not others: each ends right, and gets the message once. */

const isRoot = process.getuid?.() === 0;
const postfixNeeds = isRoot ? needs('smtp-sink') : { skip: 'Postfix starts as root only' };
const dovecotNeeds = needsDovecot('/usr/lib/dovecot/lmtp');
const OK = 'delivered 250 2.0.0';

test(
  'Postfix says 421 in mid-session, and gets the recipients that are left in another one; DSN parameters arrive',
  postfixNeeds,
  async () => {
    await using dir = await tempDir('postfix');
    const port = await freePort();
    const settings = `myhostname = mx.d.test
mydestination = d.test
local_recipient_maps = inline:{ {b@d.test=x} {c@d.test=x} {ü@d.test=x} }
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_data_restrictions = check_sender_access static:hold
smtpd_hard_error_limit = 2
smtpd_soft_error_limit = 100
smtputf8_enable = yes
`;
    await using _postfix = await startPostfix(dir.path, port, settings);
    const log = async (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8').catch(() => '');
    await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix', timeout: 20_000 });
    await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
    const hop = smtpHop(port, { tls: 'off' });
    const first = testJob({ recipients: ['x@d.test', 'b@d.test', 'y@d.test', 'c@d.test'] });
    const [cut = []] = await delivery
      .run(hop, testJob({ recipients: ['b@d.test'] }), first)
      .then(([, ...rest]) => rest);
    assert.deepEqual(
      brief(cut),
      ['failed 550 5.1.1', 'deferred 421 4.7.0', 'failed 550 5.1.1', 'deferred 421 4.7.0'],
      `${JSON.stringify(cut)}\n${await log()}`,
    );
    const utf8 = testJob({
      reversePath: 'ä@sender.test',
      recipients: [
        { address: 'b@d.test', notify: ['FAILURE', 'DELAY'], orcpt: 'rfc822;b+x@alias.test' },
        { address: 'ü@d.test', notify: ['NEVER'] },
        'x@d.test',
      ],
      ...{ smtpUtf8: true, eightBitBody: true, ret: 'HDRS', envid: 'envelope+1' },
      message: 'Subject: Grüße\r\n\r\nGrüße\r\n',
    });
    const again = testJob({ recipients: ['b@d.test', 'c@d.test'] });
    const results = await delivery.run(hop, again, utf8);
    assert.deepEqual(results.map(brief), [
      [OK, OK],
      [OK, OK, 'failed 550 5.1.1'],
    ]);
    const ids = [...(await log()).matchAll(/ ([0-9A-F]+): hold: /g)].map(([, id]) => id ?? '');
    const envelopes = await Promise.all([...new Set(ids)].map((id) => postcat(dir.path, id)));
    const recipients = envelopes.map((text) =>
      [...text.matchAll(/^recipient: (.*)$/gm)].map(([, one]) => one).join(' '),
    );
    assert.deepEqual(recipients.toSorted(), ['b@d.test', 'b@d.test c@d.test', 'b@d.test ü@d.test']);
    const sent = envelopes.find((text) => text.includes('ü@d.test')) ?? '';
    for (const line of [
      'sender: ä@sender.test',
      'named_attribute: envelope_id=envelope+1',
      'named_attribute: ret_flags=2',
      'named_attribute: notify_flags=12\nnamed_attribute: dsn_orig_rcpt=rfc822;b+x@alias.test\noriginal_recipient: b@d.test',
      'named_attribute: notify_flags=1\n',
    ]) {
      assert.ok(sent.includes(line), `${line} in\n${sent}`);
    }
  },
);

/** The envelope records of a message in the hold queue. */
async function postcat(folder: string, id: string): Promise<string> {
  await using cat = new Program('postcat', ['-c', folder, '-e', '-q', id]);
  await cat.ended();
  return cat.stdout;
}

for (const early of [true, false]) {
  test(
    `Dovecot says 452 for a mailbox over its quota, ${early ? 'to RCPT' : 'after the message'}`,
    dovecotNeeds,
    async () => {
      await using dir = await tempDir('dovecot');
      const port = await freePort();
      await writeUsers(dir.path, { b: '1M', c: '1M', full: '100' });
      const checked = `lmtp_rcpt_check_quota = ${early ? 'yes' : 'no'}\n`;
      await using dovecot = await Dovecot.start(dir.path, `${lmtpOn(port)}${usersIn(dir.path)}${checked}`);
      await using delivery = testDelivery({
        settings: testSettings({ delivery: { timeout: { data: '20s', command: '20s' } } }),
      });
      const hop = smtpHop(port, { kind: 'lmtp', tls: 'off' });
      const message = `Subject: large enough\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(20)}`;
      const job = testJob({ recipients: ['b@d.test', 'full@d.test', 'nobody@d.test', 'c@d.test'], message });
      const [results = []] = await delivery.run(hop, job);
      const [b, full, nobody, c] = results
        .toSorted((one, other) => one.index - other.index)
        .map(({ state, outcome }) => `${state} ${outcome.reply.code} ${outcome.reply.enhanced}`);
      const seen = `${JSON.stringify(results)}\n${await dovecot.log()}`;
      assert.deepEqual([b, c], [OK, OK], seen);
      assert.match(full ?? '', /^deferred 452 4\.2\.2/, seen);
      assert.match(nobody ?? '', /^failed 550 5\.1\.1/, seen);
      assert.equal(results.find(({ index }) => index === 0)?.notice, 'final');
      const mail = await Promise.all(['b', 'c', 'full'].map((name) => dovecot.mailOf(name)));
      assert.deepEqual(
        mail.map(({ length }) => length),
        [1, 1, 0],
      );
      // What waits alone keeps waiting, and nobody else gets it again.
      const [alone = []] = await delivery.run(hop, testJob({ recipients: ['full@d.test'], message }));
      assert.match(brief(alone)[0] ?? '', /^deferred 452 4\.2\.2/);
      assert.equal((await dovecot.mailOf('b')).length, 1);
    },
  );
}
