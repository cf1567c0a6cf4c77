import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SEALPOST, sealpost } from '#test/kit/command.ts';
import { Program } from '#test/kit/program.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The first minute of a newcomer, in a folder that holds nothing. */

let folder: TempDir;
let node: Program;

function start(): Program {
  return new Program(process.execPath, [SEALPOST, 'start'], { cwd: folder.path, env: { HOME: '' } });
}

before(async () => {
  folder = await tempDir('sandbox');
  node = start();
  await node.waitForOutput(/sealpost capture show 1/);
});

after(async () => {
  await node[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const run = (...args: string[]) => sealpost(args, { cwd: folder.path });

type Captured = { queueId: string; reversePath: string; recipients: { address: string }[] };

async function captured(count: number): Promise<Captured[]> {
  return waitFor(
    async () => {
      const { messages } = JSON.parse((await run('capture', 'list', '--json')).stdout) as { messages: Captured[] };
      return messages.length >= count && messages;
    },
    { what: `${count} captured messages` },
  );
}

test('it says where it listens, who may log in, and what to paste', () => {
  for (const words of [
    '127.0.0.1:2525',
    '127.0.0.1:2587',
    '127.0.0.1:2465',
    'user test, password ',
    'sealpost send --to',
  ]) {
    assert.ok(node.output.includes(words), words);
  }
});

test('the pasted command sends a message that is captured with two signatures that verify', async () => {
  const sent = await run('send', '--to', 'friend@example.com', '--subject', 'Grüße', '--text', '.\r\n..two\r\n');
  assert.equal(sent.code, 0, sent.stderr);
  assert.match(sent.stdout, /accepted over TLSv1\.3: 250 2\.0\.0 /);
  const [message] = await captured(1);
  assert.deepEqual(message?.recipients, [{ address: 'friend@example.com' }]);
  assert.equal(message?.reversePath, 'test@sealpost.test');

  const shown = await run('capture', 'show', '1');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /DKIM pass.*: rsa-sha256, d=sealpost\.test s=rsa, key from this node/);
  assert.match(shown.stdout, /DKIM pass.*: ed25519-sha256, d=sealpost\.test s=ed25519, key from this node/);
  const { file } = JSON.parse((await run('capture', 'show', '--json')).stdout) as { file: string };
  assert.ok((await readFile(file, 'latin1')).endsWith('\r\n\r\n.\r\n..two\r\n\r\n'), 'dots were not kept');
});

test('a changed message does not verify', async () => {
  const { file } = JSON.parse((await run('capture', 'show', '1', '--json')).stdout) as { file: string };
  const original = await readFile(file);
  await writeFile(file, Buffer.concat([original, Buffer.from('one more line\r\n')]));
  const { stdout } = await run('capture', 'show', '1');
  await writeFile(file, original);
  assert.match(stdout, /DKIM (fail|neutral)/);
  assert.doesNotMatch(stdout, /DKIM pass/);
});

test('port 25 of the sandbox takes mail for its own user and relays for nobody', async () => {
  await using dialog = await Dialog.connect(2525);
  await dialog.expect(220);
  await dialog.say('EHLO client.example', 250);
  await dialog.say('MAIL FROM:<someone@example.net>', 250);
  await dialog.say('RCPT TO:<someone@example.org>', 554, 'Relay rejected for policy reasons');
  await dialog.say('RCPT TO:<nobody@sealpost.test>', 550);
  await dialog.say('RCPT TO:<test@sealpost.test>', 250);
});

test('users cannot send as others, nor without a password', async () => {
  const spoofed = await run('send', '--to', 'friend@example.com', '--from', 'ceo@example.com');
  assert.equal(spoofed.code, 1);
  assert.match(spoofed.stderr, /MAIL FROM:<ceo@example\.com> was refused: 5/);
  const guessed = await sealpost(['send', '--to', 'friend@example.com', '--password-stdin'], {
    cwd: folder.path,
    input: 'wrong password\n',
  });
  assert.equal(guessed.code, 1);
  assert.match(guessed.stderr, /AUTH PLAIN \(user [^)]*\) was refused: 535/);
  assert.doesNotMatch(guessed.stderr, /wrong password|d3Jvbmcg/);
});

test('status shows every service and port, keys their records', async () => {
  const { stdout, code } = await run('status');
  assert.equal(code, 0);
  for (const words of [
    /listener +answers/,
    /credential-store +answers +2 keys/,
    /submissions.*2465/,
    /queue of \S+ +0 active/,
  ]) {
    assert.match(stdout, words);
  }
  const line = (await run('keys', 'export-dns', 'sealpost.test', 'rsa')).stdout;
  assert.match(line, /^rsa\._domainkey\.sealpost\.test\. 3600 IN TXT \( "v=DKIM1; k=rsa; p=/);
  for (const [, string = ''] of line.matchAll(/"([^"]*)"/g)) assert.ok(string.length <= 255);
  const value = (await run('keys', 'export-dns', 'sealpost.test', 'rsa', '--value')).stdout.trim();
  assert.equal(value, [...line.matchAll(/"([^"]*)"/g)].map(([, string]) => string).join(''));
});

test('nobody else on the machine can read its secrets', async () => {
  for (const name of ['password', 'nek.key', 'certificate-key.pem', 'users.yaml', 'control.sock']) {
    assert.equal((await stat(join(folder.path, 'data/sandbox', name))).mode & 0o077, 0, name);
  }
});

test('a second sandbox elsewhere says which port is taken', async () => {
  await using other = await tempDir('sandbox');
  const { code, stderr } = await sealpost(['start'], { cwd: other.path });
  assert.equal(code, 1);
  assert.match(stderr, /port 2525.*another program has it.*2525, 2587, 2465/);
});

test('where nothing can be written it says so, and that this is no bug', async () => {
  await using other = await tempDir('sandbox');
  await writeFile(join(other.path, 'data'), 'a file where the folder should be');
  const { code, stderr } = await sealpost(['start'], { cwd: other.path });
  assert.equal(code, 1);
  assert.match(stderr, /^sealpost: cannot make the sandbox in .*\/data\/sandbox .*a folder that you may write.*\n$/);
});

test('a second node on the same data is refused', async () => {
  const { code, stderr } = await run('start');
  assert.equal(code, 1);
  assert.match(stderr, /another process uses .*data\/sandbox/);
});

test('after a stop and a start keys, user and mail are the same', async () => {
  const fingerprints = async (): Promise<string[]> => {
    const { keys } = JSON.parse((await run('keys', 'list', '--json')).stdout) as { keys: { fingerprint: string }[] };
    return keys.map((key) => key.fingerprint);
  };
  const keys = await fingerprints();
  assert.equal(keys.length, 2);
  const password = await readFile(join(folder.path, 'data/sandbox/password'), 'utf8');
  node.signal('SIGTERM');
  assert.equal(await node.ended(), 0);
  assert.match(node.output, /"stopped"/);
  const down = await run('status');
  assert.equal(down.code, 3);
  assert.match(down.stderr, /no node answers at .*data\/sandbox\/control\.sock.*sealpost start/);
  const unsent = await run('send', '--to', 'friend@example.com');
  assert.equal(unsent.code, 3);
  assert.match(unsent.stderr, /nothing listens on 127\.0\.0\.1:2465: start the node/);
  assert.match((await run('capture', 'show', '1')).stdout, /key from DNS, as the node does not run/);

  node = start();
  await node.waitForOutput(/sealpost capture show 1/);
  assert.deepEqual(await fingerprints(), keys);
  assert.equal(await readFile(join(folder.path, 'data/sandbox/password'), 'utf8'), password);
  assert.match((await run('capture', 'show', '1')).stdout, /DKIM pass/);
});

test('the sandbox on a terminal begins with its banner, and then tells what happens', async () => {
  await node.stop();
  await using program = new Program('script', ['-qfec', `exec ${process.execPath} ${SEALPOST} start`, '/dev/null'], {
    cwd: folder.path,
    env: { NO_COLOR: '1' },
  });
  await program.waitForOutput(/sealpost capture show 1/, 30_000);
  assert.match(program.output, /^\s*The Sealpost sandbox is up/);
  await program.waitForOutput(/https:\/\/localhost:8443\/sign-in\/link#[\w-]{43}\s/);
  const sent = await run('send', '--to', 'friend@example.com');
  assert.equal(sent.code, 0, sent.stderr);
  await program.waitForOutput(/^\d\d:\d\d:\d\d\.\d{3} info {2}listener message accepted .*from=test@sealpost\.test/m);
});
