import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TranscriptPage } from '#shared/transcript/operation.ts';
import { type SessionPeer, Transcripts, withoutSecret } from '#shared/transcript/transcripts.ts';

/** Watches over sessions, and what of them is seen. */

const MX: SessionPeer = { address: '192.0.2.1', names: ['mx1.example.net'], text: 'mx1.example.net[192.0.2.1]:25' };

const texts = ({ lines }: TranscriptPage): string[] => lines.map(({ by, text }) => `${by} ${text}`);

const SELECTIONS: [peer: string, seen: boolean][] = [
  ['192.0.2.1', true],
  ['::ffff:192.0.2.1', true],
  ['192.0.2.2', false],
  ['192.0.2.0/24', true],
  ['198.51.100.0/24', false],
  ['mx1.example.net', true],
  ['EXAMPLE.net.', true],
  ['mple.net', false],
  ['mx1.example.net.evil', false],
];

for (const [peer, seen] of SELECTIONS) {
  test(`a watch for ${peer} ${seen ? 'sees' : 'does not see'} ${MX.text}`, () => {
    const transcripts = new Transcripts();
    transcripts.read({ watch: 'w', peer, after: 0 });
    transcripts.session(() => MX).server('220 ready\r\n');
    assert.equal(transcripts.read({ watch: 'w', peer, after: 0 }).lines.length, seen ? 1 : 0);
    transcripts.close();
  });
}

const COMMANDS: [command: string, shown: string][] = [
  ['AUTH PLAIN AGJvYgBzZWNyZXQ=', 'AUTH PLAIN ***'],
  ['auth  plain AGJvYgBzZWNyZXQ=', 'AUTH ***'],
  ['auth xoauth2 dXNlcj1ib2I=', 'AUTH xoauth2 ***'],
  ['AUTH LOGIN', 'AUTH LOGIN'],
  // Somebody typed the password where the mechanism belongs.
  ['AUTH c2VjcmV0', 'AUTH ***'],
  ['AUTH hunter2 bob', 'AUTH ***'],
  ['MAIL FROM:<a@b> AUTH=<>', 'MAIL FROM:<a@b> AUTH=<>'],
];

for (const [command, shown] of COMMANDS) {
  test(`"${command}" is shown as "${shown}"`, () => assert.equal(withoutSecret(command), shown));
}

test('commands, replies, and messages as their size; an answer to a challenge is not shown', () => {
  const transcripts = new Transcripts();
  const read = (after = 0) => transcripts.read({ watch: 'w', peer: '192.0.2.1', after });
  read();
  const session = transcripts.session(() => MX);
  session.client('AUTH LOGIN\r\n', true);
  session.server('334 VXNlcm5hbWU6\r\n');
  session.client('Ym9i\r\n', true);
  session.reply(250, ['mx1.example.net', 'PIPELINING']);
  session.client('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
  session.message(1000);
  session.message(234);
  session.server('250 2.0.0 taken\r\n');
  assert.deepEqual(texts(read()), [
    'client AUTH LOGIN',
    'server 334 VXNlcm5hbWU6',
    'client ***',
    'server 250-mx1.example.net',
    'server 250 PIPELINING',
    'client MAIL FROM:<a@b>',
    'client RCPT TO:<c@d>',
    'client DATA',
    'client [1234 bytes of message]',
    'server 250 2.0.0 taken',
  ]);
  transcripts.close();
});

test('names count when they become known', () => {
  const transcripts = new Transcripts();
  transcripts.read({ watch: 'w', peer: 'example.net', after: 0 });
  const names: string[] = [];
  const session = transcripts.session(() => ({ ...MX, names }));
  session.server('220 ready');
  names.push('mail.example.net');
  session.client('EHLO mail.example.net');
  assert.deepEqual(texts(transcripts.read({ watch: 'w', peer: 'example.net', after: 0 })), [
    'client EHLO mail.example.net',
  ]);
  transcripts.close();
});

test('lines are kept until they were read, and then dropped', () => {
  const transcripts = new Transcripts();
  const read = (after: number) => transcripts.read({ watch: 'w', peer: '192.0.2.1', after });
  read(0);
  const session = transcripts.session(() => MX);
  for (let n = 1; n <= 450; n++) session.note(String(n));
  const first = read(0);
  assert.deepEqual([first.lines.length, first.lines[0]?.text, first.last], [200, '1', 200]);
  // The answer did not arrive.
  assert.equal(read(0).last, 200);
  const second = read(200);
  assert.deepEqual([second.lines[0]?.text, second.last], ['201', 400]);
  const third = read(400);
  assert.deepEqual([third.lines.length, third.last, third.lost], [50, 450, 0]);
  assert.deepEqual(read(450), { lines: [], last: 450, lost: 0 });
  transcripts.close();
});

test('a peer that says too much, or in too many sessions, loses lines, which are counted', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1000 });
  const transcripts = new Transcripts();
  const read = (watch: string) => transcripts.read({ watch, peer: '192.0.2.1', after: 0 });
  read('lines');
  const session = transcripts.session(() => MX);
  const says = (lines: number): void => {
    for (let n = 0; n < lines; n++) session.note('x'.repeat(10_000));
  };
  says(1200);
  assert.equal(read('lines').lost, 200);
  for (let second = 2; second <= 3; second++) {
    t.mock.timers.tick(1000);
    says(900);
  }
  // 2,800 lines came through, of which 2,000 are kept.
  const { lost, lines } = read('lines');
  assert.equal(lost, 200 + 800);
  assert.ok((lines[0]?.text.length ?? 0) <= 501);
  t.mock.timers.tick(1000);
  read('sessions');
  const many = Array.from({ length: 120 }, () => transcripts.session(() => MX));
  for (const one of many) one.note('open');
  assert.equal(read('sessions').lost, 20);
  many[0]?.ended('closed');
  many[119]?.note('has room now');
  assert.equal(read('sessions').lost, 20);
  transcripts.close();
});

test('a watch ends when the command says so, or when nobody reads it any more', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const transcripts = new Transcripts();
  const read = (watch: string, end = false) => transcripts.read({ watch, peer: '192.0.2.1', after: 7, end });
  assert.equal(transcripts.active, false);
  read('a');
  read('b');
  assert.equal(transcripts.active, true);
  read('b', true);
  t.mock.timers.tick(14_000);
  read('a');
  t.mock.timers.tick(14_000);
  assert.equal(transcripts.active, true);
  t.mock.timers.tick(1000);
  assert.equal(transcripts.active, false);
  // As where the process started again: the numbers go on.
  assert.equal(read('a').last, 7);
  transcripts.close();
  assert.equal(transcripts.active, false);
});

test('no more watches than a process can serve', () => {
  const transcripts = new Transcripts();
  for (let n = 0; n < 8; n++) transcripts.read({ watch: String(n), peer: 'example.net', after: 0 });
  assert.throws(() => transcripts.read({ watch: '8', peer: 'example.net', after: 0 }), {
    code: 'too-many-transcripts',
  });
  transcripts.read({ watch: '3', peer: 'example.net', after: 0, end: true });
  transcripts.read({ watch: '8', peer: 'example.net', after: 0 });
  transcripts.close();
});
