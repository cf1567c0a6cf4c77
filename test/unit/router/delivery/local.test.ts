import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { diskTrouble } from '#services/router/delivery/channel.ts';
import { FolderSync, writeSynced } from '#services/router/delivery/files.ts';
import type { NextHop } from '#services/router/delivery/job.ts';
import { mailboxFolder } from '#services/router/delivery/maildir.ts';
import { SealpostError } from '#shared/errors.ts';
import { listCaptured, readCaptured } from '#shared/files/captured-mail.ts';
import type { CapturedMessage } from '#shared/files/captured-message.ts';
import { tempDir } from '#test/kit/temp.ts';
import { brief, MESSAGE, testDelivery, testJob } from './fixtures.ts';

const maildir = (folder: string): NextHop => ({ key: folder, spec: { kind: 'maildir', folder }, tls: 'off' });
const capture = (folder: string): NextHop => ({ key: folder, spec: { kind: 'capture', folder }, tls: 'off' });

/** Every address names one folder two levels below the root, no two of them the same. */
const ADDRESSES: [string, string][] = [
  ['user@example.test', 'example.test/user'],
  ['User@example.test', 'example.test/user'],
  ['..@example.test', 'example.test/%2E.'],
  ['.@example.test', 'example.test/%2E'],
  ['.Junk@example.test', 'example.test/%2Ejunk'],
  ['a/../../b@example.test', 'example.test/a%2F..%2F..%2Fb'],
  ['/etc/passwd@example.test', 'example.test/%2Fetc%2Fpasswd'],
  ['a\\b@example.test', 'example.test/a%5Cb'],
  ['nul\0@example.test', 'example.test/nul%00'],
  ['%2F@example.test', 'example.test/%252f'],
  ['"a b"@example.test', 'example.test/%22a%20b%22'],
  ['a+tag=x_y-z.w@example.test', 'example.test/a+tag=x_y-z.w'],
  ['bücher@example.test', 'example.test/b%C3%BCcher'],
  ['@example.test', 'example.test/%'],
  ['%@example.test', 'example.test/%25'],
  ['user@..', '%2E./user'],
  ['user@../x', '%2E.%2Fx/user'],
  ['user@[192.0.2.1]', '%5B192.0.2.1%5D/user'],
  ['postmaster', '%/postmaster'],
];
for (const [address, folder] of ADDRESSES) {
  test(`the mailbox of ${JSON.stringify(address)} stays in its folder`, () => {
    assert.equal(relative('/mail', mailboxFolder('/mail', address)), folder);
  });
}

test('a local part longer than a file name has its own mailbox', () => {
  const a = mailboxFolder('/mail', `${'a'.repeat(400)}1@x.test`);
  const b = mailboxFolder('/mail', `${'a'.repeat(400)}2@x.test`);
  assert.notEqual(a, b);
  assert.ok(basename(a).length < 255 && dirname(a) === '/mail/x.test');
});

async function only(folder: string): Promise<string> {
  const names = await readdir(folder);
  assert.equal(names.length, 1, names.join());
  return join(folder, names[0] ?? '');
}

test('a message for two mailboxes is in both, with its fields in front and lines ending in LF', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  const job = testJob({ recipients: ['b@x.test', 'c@y.test'], message: 'Subject: x\r\n\r\n.dot\r\na\rb\r\n' });
  const [results = []] = await delivery.run(maildir(join(dir.path, 'new/mail')), job);
  assert.deepEqual(brief(results), ['delivered 250 2.1.5', 'delivered 250 2.1.5']);
  assert.ok(results.every(({ notice }) => notice === 'final'));
  for (const [domain, user] of [
    ['x.test', 'b'],
    ['y.test', 'c'],
  ] as const) {
    const box = join(dir.path, 'new/mail', domain, user);
    const file = await only(join(box, 'new'));
    assert.equal(
      await readFile(file, 'latin1'),
      `Return-Path: <a@sender.test>\nDelivered-To: ${user}@${domain}\nSubject: x\n\n.dot\na\rb\n`,
    );
    assert.match(basename(file), /^\d+\.M\d+P\d+Q\d+I[0-9A-Z]{16}\.edge\.test$/);
    assert.deepEqual(await readdir(join(box, 'tmp')), []);
    assert.deepEqual(await readdir(join(box, 'cur')), []);
    assert.equal((await stat(box)).mode & 0o777, 0o700);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  }
});

test('line ends are found wherever the bytes are cut', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  async function* bytes() {
    for (const byte of Buffer.from('Subject: x\r\n\r\na\r\n\r\nb\r')) yield Buffer.from([byte]);
  }
  await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'], reversePath: '', message: bytes }));
  assert.equal(
    await readFile(await only(join(dir.path, 'x.test/b/new')), 'latin1'),
    'Return-Path: <>\nDelivered-To: b@x.test\nSubject: x\n\na\n\nb\r',
  );
});

test('junk goes to the Junk folder', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'], junk: true }));
  await only(join(dir.path, 'x.test/b/.Junk/new'));
  await assert.rejects(readdir(join(dir.path, 'x.test/b/new')), { code: 'ENOENT' });
});

test('a message that was delivered to this mailbox before is in a loop', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  for (const [field, expected] of [
    ['Delivered-To: B@x.test', 'failed 554 5.4.6'],
    ['delivered-to:\r\n\tb@x.test', 'failed 554 5.4.6'],
    ['Delivered-To: c@x.test', 'delivered 250 2.1.5'],
    ['X: y\r\n\r\nDelivered-To: b@x.test', 'delivered 250 2.1.5'],
  ] as const) {
    const job = testJob({ recipients: ['b@x.test'], message: `Subject: x\r\n${field}\r\n\r\nbody\r\n` });
    const [results = []] = await delivery.run(maildir(dir.path), job);
    assert.deepEqual(brief(results), [expected], field);
  }
});

test('a mailbox that cannot be written leaves the mail waiting, another one takes its own', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  await mkdir(join(dir.path, 'x.test'));
  await writeFile(join(dir.path, 'x.test/b'), 'a file, no folder');
  const job = testJob({ recipients: ['b@x.test', 'c@x.test'] });
  const [results = []] = await delivery.run(maildir(dir.path), job);
  assert.deepEqual(brief(results), ['deferred 451 4.3.0 local', 'delivered 250 2.1.5']);
  await rm(join(dir.path, 'x.test/b'));
  const [again = []] = await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'] }));
  assert.deepEqual(brief(again), ['delivered 250 2.1.5']);
});

test('a mailbox that was removed is made again', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'] }));
  await rm(join(dir.path, 'x.test'), { recursive: true });
  const [first = []] = await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'] }));
  assert.deepEqual(brief(first), ['deferred 451 4.3.0 local']);
  const [second = []] = await delivery.run(maildir(dir.path), testJob({ recipients: ['b@x.test'] }));
  assert.deepEqual(brief(second), ['delivered 250 2.1.5']);
});

for (const kind of ['maildir', 'capture'] as const) {
  test(`${kind}: a message that another node may have by now leaves no file, and the disk is not blamed`, async () => {
    await using dir = await tempDir();
    await using delivery = testDelivery();
    async function* takenOver() {
      yield Buffer.from('Subject: x\r\n\r\nhalf');
      throw new SealpostError('not-ours', 'node edge-2 may deliver it');
    }
    const hop = kind === 'maildir' ? maildir(dir.path) : capture(dir.path);
    const [results = []] = await delivery.run(hop, testJob({ recipients: ['b@x.test'], message: takenOver }));
    assert.deepEqual(brief(results), ['deferred 451 4.3.2 local']);
    assert.equal(results[0]?.outcome.reply.text, 'node edge-2 may deliver it');
    const files = await readdir(dir.path, { recursive: true, withFileTypes: true });
    assert.ok(files.every((entry) => !entry.isFile()));
  });

  test(`${kind}: a message that cannot be read leaves no file`, async () => {
    await using dir = await tempDir();
    await using delivery = testDelivery();
    async function* damaged() {
      yield Buffer.from('Subject: x\r\n\r\nhalf');
      throw new Error('damaged');
    }
    const hop = kind === 'maildir' ? maildir(dir.path) : capture(dir.path);
    const [results = []] = await delivery.run(hop, testJob({ recipients: ['b@x.test'], message: damaged }));
    assert.deepEqual(brief(results), ['deferred 451 4.3.0 local']);
    const files = await readdir(dir.path, { recursive: true, withFileTypes: true });
    assert.deepEqual(
      files.filter((entry) => entry.isFile()),
      [],
    );
  });
}

for (const [code, expected] of [
  ['ENOSPC', '452 4.3.1'],
  ['EDQUOT', '452 4.3.1'],
  ['EACCES', '451 4.3.0'],
  ['EIO', '451 4.3.0'],
] as const) {
  test(`${code} from a disk is a delay`, () => {
    const said = diskTrouble(Object.assign(new Error('write failed'), { code }), 'cannot write');
    assert.equal(`${said.code} ${said.enhanced}`, expected);
  });
}

test('a write that fails leaves no file', async () => {
  await using dir = await tempDir();
  const path = join(dir.path, 'x');
  async function* broken() {
    yield Buffer.from('half');
    throw new Error('no more');
  }
  await assert.rejects(writeSynced(path, broken()), /no more/);
  await writeSynced(path, [Buffer.from('whole'), Buffer.from(' message')]);
  assert.equal(await readFile(path, 'utf8'), 'whole message');
  await assert.rejects(writeSynced(path, [Buffer.from('other')]), { code: 'EEXIST' });
  assert.equal(await readFile(path, 'utf8'), 'whole message', 'a file that was there stays');
});

test('captured mail can be listed and read, byte for byte', async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, 'capture');
  assert.deepEqual(await Array.fromAsync(listCaptured(folder)), []);
  await using delivery = testDelivery();
  const one = testJob({
    recipients: [{ address: 'b@x.test', notify: ['NEVER'] }, 'c@x.test'],
    ret: 'HDRS',
    envid: 'e',
    junk: true,
  });
  const results = await delivery.run(capture(folder), one, testJob({ reversePath: '' }), testJob());
  assert.deepEqual(results.map(brief), [
    ['delivered 250 2.0.0', 'delivered 250 2.0.0'],
    ['delivered 250 2.0.0'],
    ['delivered 250 2.0.0'],
  ]);
  const listed = await Array.fromAsync(listCaptured(folder));
  assert.equal(listed.length, 3);
  const first = listed.find(({ queueId }) => queueId === one.queueId);
  const { id = '', at = 0 } = first ?? {};
  assert.match(id, /^\d{8}T\d{9}Z-[0-9A-Z]{16}$/);
  const expected: CapturedMessage = {
    id,
    at,
    queueId: one.queueId,
    trace: 'TRACE',
    size: MESSAGE.length,
    junk: true,
    reversePath: 'a@sender.test',
    recipients: [{ address: 'b@x.test', notify: ['NEVER'] }, { address: 'c@x.test' }],
    smtpUtf8: false,
    ret: 'HDRS',
    envid: 'e',
  };
  assert.deepEqual(first, expected);
  for (const name of [id, one.queueId]) {
    const { envelope, message } = await readCaptured(folder, name);
    assert.deepEqual(envelope, expected);
    assert.equal(message.toString(), MESSAGE);
  }
  for (const name of ['', '../../etc/passwd', 'x', `${id}.json`]) {
    await assert.rejects(readCaptured(folder, name), { code: 'not-found' });
  }
});

test('two jobs of one message are captured both', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  const { queueId } = testJob();
  await delivery.run(capture(dir.path), ...Array.from({ length: 20 }, () => testJob({ queueId })));
  assert.equal((await Array.fromAsync(listCaptured(dir.path))).length, 20);
});

test('a message without its envelope is not listed, a damaged envelope is named', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, '20260101T000000000Z-ABC.eml'), 'x');
  await writeFile(join(dir.path, '20260101T000000000Z-ABC.json.tmp'), '{}');
  assert.deepEqual(await Array.fromAsync(listCaptured(dir.path)), []);
  await writeFile(join(dir.path, '20260101T000000000Z-ABC.json'), '{"id":1}');
  await assert.rejects(Array.fromAsync(listCaptured(dir.path)), { code: 'corrupt', message: /ABC\.json/ });
});

test('a capture folder that cannot be made leaves the mail waiting until it can', async () => {
  await using dir = await tempDir();
  await using delivery = testDelivery();
  const file = join(dir.path, 'x');
  await writeFile(file, '');
  await chmod(file, 0o600);
  const [results = []] = await delivery.run(capture(join(file, 'capture')), testJob());
  assert.deepEqual(brief(results), ['deferred 451 4.3.0 local']);
  await rm(file);
  const [again = []] = await delivery.run(capture(join(file, 'capture')), testJob());
  assert.deepEqual(brief(again), ['delivered 250 2.0.0']);
});

test('discarded mail is read to its end', async () => {
  await using delivery = testDelivery();
  const hop: NextHop = { key: 'discard', spec: { kind: 'discard' }, tls: 'off' };
  async function* damaged() {
    yield Buffer.from('x');
    throw new Error('damaged');
  }
  const results = await delivery.run(hop, testJob(), testJob({ message: damaged }));
  assert.deepEqual(results.map(brief), [['delivered 250 2.0.0'], ['deferred 451 4.3.0 local']]);
});

test('syncs of a folder that come together are one, and each covers what was before it', async () => {
  await using dir = await tempDir();
  const sync = new FolderSync(dir.path);
  const first = sync.sync();
  const running = first.then(() => 'first');
  const [second, third] = [sync.sync(), sync.sync()];
  assert.equal(second, third);
  await Promise.all([running, second]);
  assert.notEqual(sync.sync(), second);
});
