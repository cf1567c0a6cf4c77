import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDelivery } from '#services/router/delivery/delivery.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import { silentLogger } from '#shared/log.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, TestRouter } from '#test/unit/router/fixture.ts';

/** Junk on its way to Dovecot by LMTP: it goes into the folder of the tag that `junk-to` of the route names. */

/** Dovecot's LMTP service in a folder of its own, for any user. */
async function startDovecot(dir: string, port: number): Promise<Program> {
  // Its daemons run as other users.
  await chmod(dir, 0o755);
  for (const folder of ['run', 'state', 'home']) await mkdir(join(dir, folder));
  await chmod(join(dir, 'home'), 0o777);
  await writeFile(
    join(dir, 'dovecot.conf'),
    `base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_vsz_limit = 0
auth_username_format = %n
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
postmaster_address = postmaster@example.com
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${dir}/home/%n allow_all_users=yes
}
mail_location = maildir:${dir}/home/%n/mail
service lmtp {
  inet_listener lmtp {
    port = ${port}
  }
}
service anvil {
  chroot =
}
`,
  );
  return new Program('dovecot', ['-F', '-c', join(dir, 'dovecot.conf')]);
}

const root =
  process.getuid?.() === 0 ? needs('dovecot', '/usr/lib/dovecot/lmtp') : { skip: 'Dovecot starts as root only' };

test(
  'I6 Dovecot puts junk into the folder that junk-to names, and the mail of an exception into the inbox',
  root,
  async () => {
    await using dir = await tempDir('dovecot');
    const port = await freePort();
    await using _ = await startDovecot(dir.path, port);
    const log = (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8').catch(() => '');
    await waitFor(async () => (await log()).includes('starting up'), { what: 'Dovecot', timeout: 20_000 });
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
      `${JSON.stringify(entry)}\n${await log()}`,
    );
    const textIn = async (...path: string[]): Promise<string> => {
      const folder = join(dir.path, 'home', ...path, 'new');
      const [name = ''] = await readdir(folder);
      return readFile(join(folder, name), 'latin1');
    };
    assert.match(await textIn('bob', 'mail', '.Junk'), /^X-Spam-Flag: YES$/m);
    assert.match(await textIn('carl', 'mail', '.Junk'), /^X-Spam-Flag: YES$/m);
    assert.doesNotMatch(await textIn('eve', 'mail'), /^X-Spam-Flag/m);
  },
);
