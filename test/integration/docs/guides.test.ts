import assert from 'node:assert/strict';
import { copyFile, cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '#test/kit/docs/pages.ts';
import { copyFolder } from '#test/kit/haraka/plan.ts';
import { EdgeSite } from '#test/kit/machine/edge-site.ts';
import { follow, install } from '#test/kit/machine/guide.ts';
import { needsMachine } from '#test/kit/machine/machine.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';

/**
 * The guides of docs/move, and that of one machine, followed to the letter on a machine of their own: at the end mail is
 * accepted at port 25 from whom it was accepted before, is signed by the key that was brought or made, and arrives.
 */

const PEERS = needsMachine('named', 'swaks', 'smtp-sink', 'opendkim-genkey', 'opendkim-testmsg', 'dkimverify');
const options = { ...PEERS, timeout: 5 * 60_000 };

/** A key as opendkim-genkey makes it, in `folder`, and its record in DNS. */
async function makeKey(site: EdgeSite, folder: string, selector: string): Promise<void> {
  await site.machine.must(`install -d ${folder}\nopendkim-genkey -b 2048 -d example.com -s ${selector} -D ${folder}`);
  await site.publish(await site.machine.read(`${folder}/${selector}.txt`));
}

const active = (selector: string): string =>
  `sealpost keys list --json | tr -d ' \\n' | grep -q '"selector":"${selector}"[^}]*"state":"active"'`;

/** What an administrator does with the record that `keys export-dns` prints. */
async function publishKey(site: EdgeSite, printed: string): Promise<void> {
  const record = /^\S+\. \d+ IN TXT .*/m.exec(printed)?.[0];
  assert.ok(record, printed);
  await site.publish(record);
}

/** Mail goes in and out at port 25 as it should, signed with this selector, and strangers may not relay. */
async function works(site: EdgeSite, selector: string): Promise<void> {
  await site.machine.eventually('ip netns exec world swaks --server 10.20.0.1:25 --quit-after EHLO', 'port 25');
  await site.send('10.20.1.2', 'ann@example.com', 'bob@elsewhere.example', 'outgoing');
  await site.verify(await site.arrived('elsewhere', 'outgoing'), selector);
  await site.send('198.51.100.7', 'bob@elsewhere.example', 'ann@example.com', 'incoming');
  await site.arrived('inside', 'incoming');
  await assert.rejects(
    site.send('198.51.100.7', 'bob@elsewhere.example', 'carl@elsewhere.example', 'relayed'),
    /554 5\.7\.1/,
  );
}

test('docs/install/one-machine.md, on an empty machine', options, async () => {
  await using site = await EdgeSite.start();
  const { machine } = site;
  const authority = await createAuthority();
  const { certificate, key } = await authority.issue({ names: ['mx1.example.com'] });
  await follow(machine, 'docs/install/one-machine.md', {
    most: 5,
    async before(text) {
      if (!text.includes('create nek')) return;
      await machine.write('/etc/sealpost/tls/fullchain.pem', `${certificate}\n${authority.ca}`);
      await machine.write('/etc/sealpost/tls/key.pem', key);
      await machine.must('chmod 600 /etc/sealpost/tls/key.pem');
    },
    answers: (text) => [
      ...(text.includes('users add')
        ? [
            { question: /Password of alice: /, answer: 'wonderland' },
            { question: /once more: /, answer: 'wonderland' },
          ]
        : []),
      ...(text.includes('send --user') ? [{ question: /Password of alice: /, answer: 'wonderland' }] : []),
    ],
    async after(text) {
      if (text.includes('systemctl enable')) await machine.eventually('sealpost status', 'the node');
    },
  });
  // Mail of example.com waits for its key, as the page says, and then leaves: here to the mailboxes.
  await machine.must(
    "(cd /run/mail-inside && exec smtp-sink -L -u nobody -d '%H%M%S.' 127.0.0.1:24 100) >/dev/null 2>&1 &",
  );
  await publishKey(site, await machine.must('sealpost keys export-dns example.com s2026'));
  await machine.eventually(active('s2026'), 'the key to sign');
  // It may wait for the mailboxes too, which were not there at first.
  const again = 'sealpost queue retry --recipient alice@example.com --yes >/dev/null || true';
  const find = `${again}\ngrep -l alice@example.com /run/mail-inside/*`;
  const path = await machine.eventually(find, 'the mail of alice');
  await site.verify(path.trim(), 's2026');
});

test('docs/move/postfix.md, on a machine with Postfix and OpenDKIM', options, async () => {
  await using site = await EdgeSite.start();
  const { machine } = site;
  const sample = join(ROOT, 'test/kit/postfix/edge');
  await cp(join(sample, 'opendkim.conf'), machine.path('/etc/opendkim.conf'));
  await mkdir(machine.path('/etc/opendkim'));
  for (const file of ['KeyTable', 'SigningTable']) await cp(join(sample, file), machine.path(`/etc/opendkim/${file}`));
  for (const file of ['main.cf', 'transport']) await cp(join(sample, file), machine.path(`/etc/postfix/${file}`));
  await makeKey(site, '/etc/opendkim/keys/example.com', 's2024');
  await machine.must(
    "chown -R opendkim: /etc/opendkim/keys\ninstall -d -o opendkim /run/opendkim\npostmap /etc/postfix/transport\npostconf -F '*/*/chroot = n'\nsystemctl start opendkim postfix",
  );
  await site.send('10.20.1.2', 'ann@example.com', 'bob@elsewhere.example', 'by Postfix');
  await site.verify(await site.arrived('elsewhere', 'by Postfix'), 's2024');

  await install(machine);
  await follow(machine, 'docs/move/postfix.md', {
    async after(text) {
      if (text.includes('systemctl enable')) await machine.eventually('sealpost status', 'the node');
      if (!text.includes('keys import')) return;
      await machine.eventually(active('s2024'), 'the key to sign');
      await site.send('10.20.1.2', 'ann@branch.example', 'bob@elsewhere.example', 'beside Postfix', 10_025);
      await site.verify(await site.arrived('elsewhere', 'beside Postfix'), 's2024');
    },
  });
  await works(site, 's2024');
});

test('docs/move/haraka.md, on a machine with a folder config of Haraka', options, async () => {
  await using site = await EdgeSite.start();
  const { machine } = site;
  const config = '/etc/haraka/config';
  await mkdir(machine.path(config), { recursive: true });
  await copyFolder(machine.path(config));
  await makeKey(site, '/root/key', 's2026');
  await copyFile(machine.path('/root/key/s2026.private'), machine.path(`${config}/dkim/example.com/private`));
  await machine.must('mkdir /etc/haraka/queue');

  await install(machine);
  await follow(machine, 'docs/move/haraka.md', {
    async after(text) {
      if (text.includes('systemctl enable')) await machine.eventually('sealpost status', 'the node');
      if (text.includes('keys import')) await machine.eventually(active('s2026'), 'the key to sign');
    },
  });
  await works(site, 's2026');
  // A user of auth_flat_file.ini, with the password that was there.
  const user = "--auth PLAIN --auth-user alice@example.com --auth-password 'wonder land' --from alice@example.com";
  await machine.must(
    `ip netns exec world swaks --server 10.20.0.1:587 --tls ${user} --to bob@elsewhere.example --header 'Subject: by Alice'`,
  );
  await site.verify(await site.arrived('elsewhere', 'by Alice'), 's2026');
});

test('docs/move/domino.md, with a notes.ini', options, async () => {
  await using site = await EdgeSite.start();
  const { machine } = site;
  const ini = await readFile(join(ROOT, 'test/kit/domino/notes.ini'), 'utf8');
  await machine.write(
    '/root/notes.ini',
    ini.replace('127.0.0.1:25', '0.0.0.0:25').replace(/^SMTPDenyMailToGroups.*\n/m, ''),
  );

  await install(machine);
  await follow(machine, 'docs/move/domino.md', {
    async after(text, printed) {
      if (text.includes('systemctl enable')) await machine.eventually('sealpost status', 'the node');
      if (!text.includes('export-dns')) return;
      await publishKey(site, printed);
      await machine.eventually(active('s2027'), 'the key to sign');
    },
  });
  await works(site, 's2027');
});
