import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDelivery } from '#services/router/delivery/delivery.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import { silentLogger } from '#shared/log.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Dovecot, lmtpOn, needsDovecot } from '#test/kit/smtp/dovecot.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, TestRouter } from '#test/unit/router/fixture.ts';

/** Junk on its way to Dovecot by LMTP: it goes into the folder of the tag that `junk-to` of the route names. */

/** Any user has a mailbox. */
const SETTINGS = `recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
postmaster_address = postmaster@example.com
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent allow_all_users=yes
}
`;

test(
  'I6 Dovecot puts junk into the folder that junk-to names, and the mail of an exception into the inbox',
  needsDovecot('/usr/lib/dovecot/lmtp'),
  async () => {
    await using dir = await tempDir('dovecot');
    const port = await freePort();
    await using dovecot = await Dovecot.start(dir.path, `${lmtpOn(port)}${SETTINGS}`);
    await using data = await tempDir('router');
    const routes = [{ to: 'example.com', via: `lmtp://127.0.0.1:${port}`, 'junk-to': '+Junk' }];
    await using router = await TestRouter.start(data.path, { config: { routes } });
    const delivery = createDelivery({
      settings: router.settings,
      log: silentLogger,
      lostTls: new LostDestinations(silentLogger),
    });
    await using _stop = { [Symbol.asyncDispose]: () => delivery.stop() };
    router.delivery.automatic = async ({ hop, job }) => delivery.submit(hop, job);
    const recipients = ['bob@example.com', { address: 'eve@example.com', neverJunk: true }, 'carl+list@example.com'];
    const queueId = await router.send({ envelope: envelope(recipients), junk: true });
    const { entry } = await waitFor(
      async () => {
        const shown = await router.show(queueId);
        return shown.finished ? shown : undefined;
      },
      { what: 'delivery', timeout: 20_000 },
    );
    assert.deepEqual(
      entry.recipients.map(({ status }) => status.state),
      ['delivered', 'delivered', 'delivered'],
      `${JSON.stringify(entry)}\n${await dovecot.log()}`,
    );
    const textIn = async (user: string, folder?: string): Promise<string> =>
      String((await dovecot.mailOf(user, folder))[0]);
    assert.match(await textIn('bob', 'Junk'), /^X-Spam-Flag: YES$/m);
    assert.match(await textIn('carl', 'Junk'), /^X-Spam-Flag: YES$/m);
    assert.doesNotMatch(await textIn('eve'), /^X-Spam-Flag/m);
  },
);
