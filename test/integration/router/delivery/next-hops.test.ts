import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SECRET } from '#test/kit/directory/seal-password.ts';
import { readWithPython } from '#test/kit/dsn/readers.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dovecot, lmtpOn, needsDovecot, usersIn, writeUsers } from '#test/kit/smtp/dovecot.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { type Submitted, submit } from '#test/kit/smtp/submit.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A whole node between a real client and real next hops: p.test is at a Postfix, d.test and the mailbox of the sender,
 * s.test, at a Dovecot. Postfix sends its own notices back through the node. What counts is what is in the mailboxes.
 */

const FROM = 'alice@s.test';

function postfixSettings(folder: string, relay: number): string {
  const boxes = ['b', 'c', 'd', 'later', 'never'].map((name) => `{${name}@p.test=${name}/}`).join(' ');
  return `myhostname = mx.p.test
mydestination =
local_recipient_maps =
virtual_mailbox_domains = p.test
virtual_mailbox_base = ${folder}/mail
virtual_mailbox_maps = inline:{ ${boxes} {ü@p.test=u/} }
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = inline:{ {s.test=smtp:[127.0.0.1]:${relay}} }
smtpd_recipient_restrictions = check_recipient_access texthash:${folder}/access, reject_unauth_destination
# Each session reads that file again.
max_use = 1
smtpd_hard_error_limit = 4
smtpd_soft_error_limit = 100
smtputf8_enable = yes
`;
}

const LATER = '450 4.2.1 the mailbox is locked';

async function started() {
  await using undo = new AsyncDisposableStack();
  const dirs = { postfix: undo.use(await tempDir('postfix')).path, dovecot: undo.use(await tempDir('dovecot')).path };
  const [relay = 0, submission = 0, smtp = 0, lmtp = 0] = await freePorts(4);
  await mkdir(join(dirs.postfix, 'mail'));
  await chmod(join(dirs.postfix, 'mail'), 0o777);
  const access = (lines: string[]): Promise<void> => writeFile(join(dirs.postfix, 'access'), `${lines.join('\n')}\n`);
  await access([`later@p.test ${LATER}`, `never@p.test ${LATER}`]);
  undo.use(await startPostfix(dirs.postfix, smtp, postfixSettings(dirs.postfix, relay)));
  const log = (): Promise<string> => readFile(join(dirs.postfix, 'log'), 'utf8').catch(() => '');
  await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix' });

  const room = (full: string): Promise<void> => writeUsers(dirs.dovecot, { b: '1M', c: '1M', alice: '1M', full });
  await room('100');
  const dovecot = undo.use(await Dovecot.start(dirs.dovecot, `${lmtpOn(lmtp)}${usersIn(dirs.dovecot)}`));

  const node = undo.use(
    await SealpostNode.create({
      port: relay,
      config: [
        'listeners:',
        `  - { name: mx, kind: relay, address: 127.0.0.1, port: ${relay}, tls: none }`,
        `  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: none, auth: always }`,
        'domains: [{ name: s.test, local: true, signing: { mode: off } }]',
        'directory: { users: ./users.yaml }',
        'routes:',
        `  - { to: p.test, via: "smtp://127.0.0.1:${smtp}" }`,
        ...['d.test', 's.test'].map((to) => `  - { to: ${to}, via: "lmtp://127.0.0.1:${lmtp}" }`),
        'delivery: { idle: 100ms }',
        'queue: { retry: { first: 1s, max: 1s }, expire: 1d }',
      ].join('\n'),
    }),
  );
  const users = `users: [{ name: alice, password: "${SECRET}", addresses: [${FROM}] }]\n`;
  await writeFile(join(node.folder, 'users.yaml'), users, { mode: 0o600 });
  await node.start();
  const resources = undo.move();
  const atPostfix = async (name: string): Promise<Buffer[]> => {
    const folder = join(dirs.postfix, 'mail', name, 'new');
    return Promise.all((await readdir(folder).catch(() => [])).map((file) => readFile(join(folder, file))));
  };
  return {
    ...{ node, submission, dovecot, atPostfix, access, room, log },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

type Site = Awaited<ReturnType<typeof started>>;

function message(subject: string, options: string[], recipients: Submitted['recipients']): Submitted {
  const text = `From: ${FROM}\r\nSubject: ${subject}\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(20)}`;
  return { from: FROM, options, recipients, text };
}

function recipients(names: string, domain: string, options: string[] = []): Submitted['recipients'] {
  return names.split(' ').map((name) => [`${name}@${domain}`, options]);
}

/** The lines of the node's log with fields that begin so. */
function logged({ node }: Site, wanted: Record<string, string>): string[] {
  const lines = (node.programs.get('all')?.output ?? '').split('\n').filter((line) => line.startsWith('{'));
  return lines.filter((line) => {
    const fields = JSON.parse(line) as Record<string, unknown>;
    return Object.entries(wanted).every(([name, start]) => String(fields[name]).startsWith(start));
  });
}

/** The subjects of what each mailbox got, in the order of the alphabet. */
async function mailboxes({ dovecot, atPostfix }: Site): Promise<Record<string, string[]>> {
  const read = {
    ...Object.fromEntries(['b', 'c', 'd', 'u', 'later', 'never'].map((name) => [`${name}@p`, atPostfix(name)])),
    ...Object.fromEntries(['b', 'c', 'full'].map((name) => [`${name}@d`, dovecot.mailOf(name)])),
  };
  const found: Record<string, string[]> = {};
  for (const [name, mail] of Object.entries(read))
    found[name] = (await mail).map((text) => /^Subject: (.*)\r?$/m.exec(String(text))?.[1]?.trim() ?? '').toSorted();
  return found;
}

/** What the notices in the mailbox of the sender say, one line for each recipient. */
async function notices({ dovecot }: Site): Promise<string[]> {
  return readWithPython(await dovecot.mailOf('alice')).flatMap(({ groups: [about = {}, ...recipients] }) =>
    recipients.map((fields) => {
      const id = about['Original-Envelope-Id'] ?? '-';
      const original = fields['Original-Recipient'] ?? '-';
      return `${about['Reporting-MTA']} ${id}: ${fields['Action']} ${fields['Status']} ${fields['Final-Recipient']} ${original}`;
    }),
  );
}

const peers = needsDovecot('/usr/lib/dovecot/lmtp', 'smtp-sink', 'python3');

const MESSAGES = [
  message(
    'mixed',
    ['ENVID=mixed+2B1', 'RET=HDRS'],
    [
      ['b@p.test', ['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;b+2Bx@alias.test']],
      ['later@p.test', []],
      ['nobody@p.test', ['ORCPT=rfc822;gone@alias.test']],
      ['never@p.test', ['NOTIFY=FAILURE']],
      ['b@d.test', ['NOTIFY=SUCCESS']],
      ['full@d.test', []],
      ['nobody@d.test', ['NOTIFY=NEVER']],
      ['c@d.test', []],
    ],
  ),
  message('cut', [], recipients('x1 c x2 x3 x4 d', 'p.test', ['NOTIFY=NEVER'])),
  message('utf8', ['SMTPUTF8', 'ENVID=utf8'], [...recipients('ü b', 'p.test'), ...recipients('ü b', 'd.test')]),
];

/** What the end of the test looks like. */
const MAILBOXES = {
  'b@p': ['mixed', 'utf8'],
  'c@p': ['cut'],
  'd@p': ['cut'],
  'u@p': ['utf8'],
  'later@p': ['mixed'],
  'never@p': [],
  'b@d': ['mixed', 'utf8'],
  'c@d': ['mixed'],
  'full@d': ['mixed'],
};
const NOTICES = [
  'dns; edge.test mixed+1: delivered 2.0.0 rfc822; b@d.test -',
  'dns; edge.test mixed+1: failed 4.4.7 rfc822; never@p.test -',
  'dns; edge.test mixed+1: failed 5.1.1 rfc822; nobody@p.test rfc822; gone@alias.test',
  'dns; edge.test utf8: failed 5.6.7 utf-8; ü@d.test -',
  // Postfix has the duty to tell of what it took.
  'dns; mx.p.test mixed+1: delivered 2.0.0 rfc822; b@p.test rfc822;b+x@alias.test',
];

test('each recipient of mail to a real Postfix and a real Dovecot ends right, once', {
  ...peers,
  timeout: 120_000,
}, async () => {
  await using site = await started();
  const { node, submission, access, room } = site;
  const codes = await submit(submission, { user: 'alice', password: 'secret' }, MESSAGES);
  assert.deepEqual(new Set(codes.flat()), new Set([250]));
  const deferred = (to: string, reply: string): number => logged(site, { msg: 'deferred', to, reply }).length;
  const arrive = async (wanted: Partial<typeof MAILBOXES>, what: string): Promise<void> => {
    const all = { ...MAILBOXES, ...wanted };
    const meant = (found: Record<string, string[]>) => JSON.stringify(found) === JSON.stringify(all);
    await waitFor(async () => meant(await mailboxes(site)), { what }).catch(() => undefined);
    assert.deepEqual(await mailboxes(site), all, what);
  };

  await arrive({ 'later@p': [], 'full@d': [] }, 'mail to all that can have it');
  await waitFor(() => deferred('full@d.test', '452 4.2.2') > 1 && deferred('later@p.test', '450 4.2.1') > 1, {
    what: 'retries',
  });
  // Postfix hung up after the fourth unknown address: it had taken c@p.test, and neither got the message then.
  for (const to of ['c@p.test', 'd@p.test']) assert.equal(deferred(to, '421 4.7.0'), 1);

  await room('1M');
  await access([`never@p.test ${LATER}`]);
  await arrive({}, 'mail to those that had to wait');

  const config = await readFile(node.configFile, 'utf8');
  await writeFile(node.configFile, config.replace('expire: 1d', 'expire: 1s'));
  await waitFor(async () => (await notices(site)).length >= NOTICES.length, { what: 'all notices' });
  await node.drained();
  await arrive({}, 'nothing twice');
  assert.deepEqual((await notices(site)).toSorted(), NOTICES);
  assert.equal(logged(site, { msg: 'possible duplicate: no reply to the message' }).length, 0);
});
