import assert from 'node:assert/strict';
import { chown, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A whole node, by default values, and a Postfix that asks postgrey: which says how long it wants to wait. */

const root = process.getuid?.() === 0 ? needs('smtp-sink', 'postgrey') : { skip: 'Postfix starts as root only' };

const NOBODY = 65_534;
const DELAY_SECONDS = 8;

async function startPostgrey(folder: string, port: number): Promise<Program> {
  const data = join(folder, 'postgrey');
  await mkdir(data);
  await chown(data, NOBODY, NOBODY);
  const postgrey = new Program('postgrey', [
    ...[`--inet=127.0.0.1:${port}`, `--dbdir=${data}`, '--user=nobody', '--group=nogroup'],
    ...['--whitelist-clients=/dev/null', '--whitelist-recipients=/dev/null'],
    ...[`--delay=${DELAY_SECONDS}`, '--greylist-text=Greylisted for %s seconds'],
  ]);
  await postgrey.waitForOutput(/Setting uid/);
  return postgrey;
}

test('mail that postgrey holds up comes again when it says, once', root, async () => {
  await using dir = await tempDir('postfix');
  const [smtp = 0, policy = 0] = await freePorts(2);
  const settings = `myhostname = mx.d.test
mydestination = d.test
local_recipient_maps =
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:${policy}
smtpd_data_restrictions = check_sender_access static:hold
`;
  await using _postfix = await startPostfix(dir.path, smtp, settings);
  await using _postgrey = await startPostgrey(dir.path, policy);
  const log = (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8').catch(() => '');
  await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix' });
  await using node = await SealpostNode.create({ sink: smtp });
  await node.start();
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<a@far.test>', 250);
  for (const to of ['b', 'c']) await client.say(`RCPT TO:<${to}@d.test>`, 250);
  await client.say('DATA', 354);
  await client.say('Subject: new here\r\n\r\ntext\r\n.', 250);
  await node.drained();
  const lines = (await log()).split('\n').filter((line) => line.includes('/smtpd['));
  const refused = lines.filter((line) => /reject: .* 450 4\.2\.0 .* Greylisted for \d+ seconds/.test(line));
  assert.equal(refused.length, 2, refused.join('\n'));
  assert.equal(lines.filter((line) => line.includes('hold: ')).length, 1);
});
