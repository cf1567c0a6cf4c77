import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { accepts, freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { Dovecot, lmtpOn, needsDovecot, usersIn, writeUsers } from '#test/kit/smtp/dovecot.ts';
import { runPostfix, startPostfix } from '#test/kit/smtp/postfix.ts';
import { type HandedOver, RecordingProxy } from '#test/kit/smtp/recording-proxy.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A Postfix and a Dovecot that restart while a whole node sends to them: no mail is lost, and none comes twice but where a
 * reply was lost, which the log says, or the host kept what it refused. What was said on the way is recorded by a proxy.
 */

const MESSAGES = 200;
/** It keeps what it takes in its queue. */
const POSTFIX = `myhostname = mx.p.test
mydestination = p.test
local_recipient_maps =
smtpd_recipient_restrictions = reject_unauth_destination
defer_transports = local
`;

async function send(port: number): Promise<void> {
  await using client = await Dialog.connect(port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  for (let n = 0; n < MESSAGES; n++) {
    await client.say('MAIL FROM:<a@far.test>', 250);
    await client.say(`RCPT TO:<m${n}@p.test>`, 250);
    await client.say('RCPT TO:<b@d.test>', 250);
    await client.say('DATA', 354);
    await client.say(`Subject: m${n}\r\n\r\n${'text\r\n'.repeat(2000)}.`, 250);
  }
}

/** The recipients of the mail in the queue of Postfix. */
async function inQueue(folder: string): Promise<string[]> {
  await using program = new Program('postqueue', ['-c', folder, '-j']);
  await program.ended();
  const entries = program.stdout.split('\n').filter((line) => line.startsWith('{'));
  return entries.flatMap((line) =>
    (JSON.parse(line) as { recipients: { address: string }[] }).recipients.map(({ address }) => address),
  );
}

/**
 * What a host has, by the names of messages, held against what it got and what it said: each message was taken once, and is
 * there once more at most for each reply that the host may have owed it. Returns how many replies were lost, how many copies are too
 * many, and how often the host said 421 to a whole message.
 *
 * A host may keep what it refuses. Dovecot 2.3 does when it is stopped while it stores a message: its log says `saved mail to
 * INBOX`, and the wire `421 4.3.2 … Shutting down` as the reply to the final dot. Such a copy is none of ours: after 421 a message
 * has to be sent again (RFC 5321 §3.8).
 */
function count(names: readonly string[], given: readonly HandedOver[], nameOf: (one: HandedOver) => string) {
  const copies = Map.groupBy(names, (name) => name);
  assert.equal(copies.size, MESSAGES, 'nothing is lost');
  const withCode = (all: readonly HandedOver[], wanted: number | undefined): number =>
    all.filter(({ code }) => code === wanted).length;
  for (const [name, transactions] of Map.groupBy(given, nameOf)) {
    const said = `${name}: ${transactions.map(({ code }) => code ?? 'no reply').join()}`;
    assert.equal(withCode(transactions, 250), 1, said);
    const most = 1 + withCode(transactions, undefined) + withCode(transactions, 421);
    assert.ok((copies.get(name)?.length ?? 0) <= most, `${copies.get(name)?.length} copies of ${said}`);
  }
  return { lost: withCode(given, undefined), surplus: names.length - MESSAGES, refused: withCode(given, 421) };
}

test(
  'mail survives that Postfix and Dovecot restart in the middle of it',
  needsDovecot('/usr/lib/dovecot/lmtp', 'smtp-sink'),
  async (t) => {
    await using undo = new AsyncDisposableStack();
    const [postfix, dovecot] = [undo.use(await tempDir('postfix')).path, undo.use(await tempDir('dovecot')).path];
    const [smtp = 0, lmtp = 0] = await freePorts(2);
    const first = undo.use(await startPostfix(postfix, smtp, POSTFIX));
    await writeUsers(dovecot, { b: '100M' });
    const mailboxes = undo.use(await Dovecot.start(dovecot, `${lmtpOn(lmtp)}${usersIn(dovecot)}`));
    const [smtpProxy, lmtpProxy] = [
      undo.use(await RecordingProxy.start(smtp)),
      undo.use(await RecordingProxy.start(lmtp)),
    ];
    const node = undo.use(
      await SealpostNode.create({
        sink: smtpProxy.port,
        routes: [`{ to: d.test, via: "lmtp://127.0.0.1:${lmtpProxy.port}" }`],
        config: 'queue: { retry: { first: 1s, max: 1s } }',
      }),
    );
    await node.start();
    const sent = send(node.port);
    await waitFor(async () => (await mailboxes.mailOf('b')).length > MESSAGES / 10, { what: 'mail to flow' });
    await first.stop();
    undo.use(runPostfix(postfix));
    await waitFor(() => accepts(smtp), { what: 'Postfix to be back' });
    await mailboxes.restart();
    await sent;
    await node.drained().catch(async (error: unknown) => {
      const log = await readFile(join(postfix, 'log'), 'utf8');
      throw new Error(`${await node.sealpost('queue', 'list')}\n${log.slice(-3000)}`, { cause: error });
    });
    const log = node.programs.get('all')?.output ?? '';
    const lines = log.split('\n').filter((line) => line.includes('possible duplicate'));
    const subjects = (await mailboxes.mailOf('b')).map((mail) => /^Subject: (.*?)\r?$/m.exec(String(mail))?.[1] ?? '');
    const atDovecot = count(subjects, lmtpProxy.handedOver, ({ subject }) => subject);
    const atPostfix = count(await inQueue(postfix), smtpProxy.handedOver, ({ recipients }) => recipients.join());
    t.diagnostic(JSON.stringify({ atDovecot, atPostfix }));
    assert.match(log, /"msg":"deferred"/, 'the restart came in the middle of it');
    assert.equal(lines.length, atDovecot.lost + atPostfix.lost, `each lost reply is in the log: ${lines.join('\n')}`);
  },
);
