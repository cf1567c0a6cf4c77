import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NextHop } from '#services/router/delivery/job.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { CLIENT, OpenIdProvider } from '#test/kit/openid/openid-provider.ts';
import { Dovecot, needsDovecot } from '#test/kit/smtp/dovecot.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { brief, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Delivery to Dovecot's submission service, which asks the provider about each token (RFC 7662) and passes mail on. */

type Ports = { own: number; relay: number };

/** Dovecot in a folder of its own. It knows users by the provider alone. */
async function startDovecot(dir: string, { own, relay }: Ports, mechanisms: string, provider: OpenIdProvider) {
  const files = await writeCertificate(dir, { names: ['127.0.0.1'] });
  // Dovecot decodes the URL, the provider decodes what is in the header (RFC 6749 §2.3.1).
  const secret = encodeURIComponent(encodeURIComponent(CLIENT.secret));
  await writeFile(
    join(dir, 'oauth2.conf'),
    `introspection_mode = post
introspection_url = ${provider.issuer.replace('//', `//${CLIENT.id}:${secret}@`)}/token/introspection
force_introspection = yes
username_attribute = preferred_username
active_attribute = active
active_value = true
`,
  );
  const settings = `protocols = submission
hostname = submission.test
ssl = required
ssl_cert = <${files.certificateFile}
ssl_key = <${files.keyFile}
auth_mechanisms = ${mechanisms}
auth_verbose = yes
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${dir}/oauth2.conf
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${dir}/home
}
submission_relay_host = 127.0.0.1
submission_relay_port = ${relay}
service submission-login {
  chroot =
  inet_listener submission {
    port = ${own}
  }
}
`;
  return { dovecot: await Dovecot.start(dir, settings), ca: files.caFile };
}

for (const mechanism of ['xoauth2', 'oauthbearer']) {
  test(
    `A6 Dovecot lets a route in by ${mechanism}, with a token that it asks the provider about`,
    needsDovecot('/usr/lib/dovecot/submission'),
    async () => {
      await using dir = await tempDir('dovecot');
      await using provider = await OpenIdProvider.start();
      await using relay = await SmtpSink.start();
      const port = await freePort();
      const { dovecot, ca } = await startDovecot(dir.path, { own: port, relay: relay.port }, mechanism, provider);
      await using _ = dovecot;
      // Dovecot holds back its refusals.
      const settings = testSettings({ delivery: { timeout: { connect: '5s', command: '30s', data: '5s' } } });
      await using delivery = testDelivery({ settings });
      const hop = (user: string, refreshToken: string): NextHop => ({
        key: `${user} ${refreshToken}`,
        spec: {
          kind: 'smtp',
          host: '127.0.0.1',
          port,
          user,
          oauth: {
            'token-endpoint': provider.tokenEndpoint,
            'client-id': CLIENT.id,
            'client-secret': new Secret(CLIENT.secret),
            'refresh-token': new Secret(refreshToken),
          },
        },
        tls: 'required',
        ca,
      });
      const news = await provider.refreshTokenFor('news@example.com');
      const [sent = []] = await delivery.run(hop('news@example.com', news), testJob());
      assert.deepEqual(brief(sent), ['delivered 250 2.0.0'], `${JSON.stringify(sent)}\n${await dovecot.log()}`);
      assert.equal(relay.messages.length, 1);
      assert.ok(provider.asked.includes('/token/introspection'));

      const other = await provider.refreshTokenFor('other@example.com');
      const [refused = []] = await delivery.run(hop('news@example.com', other), testJob());
      assert.deepEqual(
        brief(refused),
        ['deferred 535 5.7.8 local'],
        `${JSON.stringify(refused)}\n${await dovecot.log()}`,
      );
      assert.equal(relay.messages.length, 1);
    },
  );
}
