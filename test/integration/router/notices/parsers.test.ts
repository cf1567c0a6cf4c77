import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DSN_LANGUAGES, type DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import { TEXTS } from '#services/router/notices/languages/tables.ts';
import { readWithBounceParser, readWithPython } from '#test/kit/dsn/readers.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type SinkStep, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Notices of a real node, in every language and of every kind, as parsers read them that nobody here wrote. */

const parsers = needs('python3', '/usr/share/perl5/Mail/DeliveryStatus/BounceParser.pm');

const script = ({ verb, address }: SinkStep): string | undefined => {
  if (verb !== 'RCPT') return undefined;
  if (address.startsWith('gone')) return '550 5.1.1 <gone@peer.test>: Recipient address rejected: User unknown';
  return address.startsWith('full') ? '452 4.2.2 Mailbox is full' : undefined;
};

async function started() {
  await using undo = new AsyncDisposableStack();
  // Without DSN: what it takes is relayed.
  const sink = undo.use(await SmtpSink.start({ extensions: ['PIPELINING', 'ENHANCEDSTATUSCODES'], script }));
  const mailboxes = undo.use(await SmtpSink.start({ lmtp: true, extensions: ['PIPELINING', 'ENHANCEDSTATUSCODES'] }));
  const config = [
    `routes: [{ to: box.test, via: "lmtp://127.0.0.1:${mailboxes.port}" }, { to: "*", via: "smtp://127.0.0.1:${sink.port}" }]`,
    'queue: { retry: { first: 1s, max: 1s }, delay-notice: 1s }',
    'domains: [{ name: ours.test, local: true }]',
    'directory: { users: ./users.yaml }',
    `dsn: { languages: { ${DSN_LANGUAGES.map((one) => `${one}.test: ${one}`).join(', ')} } }`,
  ].join('\n');
  const node = undo.use(await SealpostNode.create({ config }));
  await writeFile(
    join(node.folder, 'users.yaml'),
    'users: []\naliases:\n  team@ours.test: [one@peer.test, two@peer.test]\n',
  );
  await node.start();
  const resources = undo.move();
  return { node, sink, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

const MAIL = [
  [
    '<gone@peer.test> NOTIFY=FAILURE ORCPT=rfc822;Gone+2Bx@Old.test',
    '<full@peer.test> NOTIFY=DELAY',
    '<relayed@peer.test> NOTIFY=SUCCESS',
    '<delivered@box.test> NOTIFY=SUCCESS,FAILURE',
  ],
  ['<team@ours.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Team@Old.test'],
];

const KINDS = {
  failed: 'failed',
  delayed: 'delayed',
  relayed: 'succeeded',
  delivered: 'succeeded',
  expanded: 'succeeded',
} as const;
type Action = keyof typeof KINDS;

/** What the group of a recipient says, beside dates. */
const EXPECTED: Record<Action, Record<string, string>> = {
  failed: {
    'Original-Recipient': 'rfc822; Gone+x@Old.test',
    'Final-Recipient': 'rfc822; gone@peer.test',
    Action: 'failed',
    Status: '5.1.1',
    'Remote-MTA': 'dns; [127.0.0.1]',
    'Diagnostic-Code': 'smtp; 550 5.1.1 <gone@peer.test>: Recipient address rejected: User unknown',
  },
  delayed: {
    'Final-Recipient': 'rfc822; full@peer.test',
    Action: 'delayed',
    Status: '4.2.2',
    'Remote-MTA': 'dns; [127.0.0.1]',
    'Diagnostic-Code': 'smtp; 452 4.2.2 Mailbox is full',
  },
  relayed: {
    'Final-Recipient': 'rfc822; relayed@peer.test',
    Action: 'relayed',
    Status: '2.0.0',
    'Remote-MTA': 'dns; [127.0.0.1]',
  },
  delivered: {
    'Final-Recipient': 'rfc822; delivered@box.test',
    Action: 'delivered',
    Status: '2.0.0',
    'Remote-MTA': 'dns; [127.0.0.1]',
  },
  expanded: {
    'Original-Recipient': 'rfc822; Team@Old.test',
    'Final-Recipient': 'rfc822; team@ours.test',
    Action: 'expanded',
    Status: '2.1.5',
  },
};

const DATES: Record<Action, string[]> = {
  expanded: [],
  failed: ['Last-Attempt-Date'],
  delayed: ['Last-Attempt-Date', 'Will-Retry-Until'],
  relayed: ['Last-Attempt-Date'],
  delivered: ['Last-Attempt-Date'],
};

async function sendAll(port: number): Promise<void> {
  await using client = await Dialog.connect(port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  for (const language of DSN_LANGUAGES) {
    for (const recipients of MAIL) {
      await client.say(`MAIL FROM:<alice@${language}.test> RET=FULL ENVID=${language}+2B1`, 250);
      for (const recipient of recipients) await client.say(`RCPT TO:${recipient}`, 250);
      await client.say('DATA', 354);
      await client.say(
        `From: <alice@${language}.test>\r\nMessage-ID: <${language}@client.test>\r\nSubject: Hi\r\n\r\nx\r\n.`,
        250,
      );
    }
  }
}

test('notices of every kind and in every language are read alike by other parsers', {
  timeout: 180_000,
  ...parsers,
}, async (t) => {
  await using site = await started();
  await sendAll(site.node.port);
  const count = DSN_LANGUAGES.length * Object.keys(KINDS).length;
  const all = () => site.sink.messages.filter(({ from }) => from.address === '');
  const notices = await waitFor(() => (all().length >= count ? all() : undefined), {
    what: 'the notices',
    timeout: 120_000,
  });
  const bytes = notices.map(({ data }) => data);
  const read = readWithPython(bytes);
  const bounces = readWithBounceParser(bytes);
  assert.equal(read.length, count);
  const heard = new Set<string>();
  for (const [n, report] of read.entries()) {
    const [message = {}, recipient = {}, ...others] = report.groups;
    const action = recipient['Action'] as Action;
    const language = report.to.replace(/^alice@(.*)\.test$/, '$1') as DsnLanguage;
    heard.add(`${language} ${action}`);
    await t.test(`${action} in ${language}`, () => {
      assert.deepEqual(report.defects, []);
      assert.match(bytes[n]?.toString('latin1') ?? '', /^[\x00-\x7f]*$/);
      assert.deepEqual([report.type, report.report], ['multipart/report', 'delivery-status']);
      const quoted = action === 'failed' ? 'message/rfc822' : 'text/rfc822-headers';
      assert.deepEqual(report.parts, ['text/plain', 'message/delivery-status', quoted]);
      assert.deepEqual([report.subject, report.language], [TEXTS[language].subject[KINDS[action]], language]);
      assert.ok(report.text.replace(/\s/g, '').includes(TEXTS[language].from('edge.test').replace(/\s/g, '')));
      assert.equal(others.length, 0);
      assert.equal(message['Reporting-MTA'], 'dns; edge.test');
      assert.equal(message['Original-Envelope-Id'], `${language}+1`);
      assertDate(message['Arrival-Date']);
      for (const name of DATES[action]) assertDate(recipient[name]);
      for (const [name, value] of Object.entries(EXPECTED[action])) {
        // Where a field is folded stands a tab.
        assert.equal(recipient[name]?.replace(/\t/g, ' '), value, name);
      }
      const names = [
        ...Object.keys(EXPECTED[action]),
        ...DATES[action],
        ...(action === 'expanded' ? [] : ['Diagnostic-Code']),
      ];
      assert.deepEqual(Object.keys(recipient).toSorted(), [...new Set(names)].toSorted());
      const bounce = bounces[n];
      assert.equal(bounce?.message.replace(/\s/g, ''), `<${language}@client.test>`);
      if (action !== 'failed') {
        assert.deepEqual([bounce?.bounce, bounce?.type], [false, `delivery-status ${action}`]);
        return;
      }
      assert.equal(bounce?.bounce, true);
      const reason = '550 5.1.1 <gone@peer.test>: Recipient address rejected: User unknown';
      const expected = {
        email: 'Gone+x@Old.test',
        std_reason: 'user_unknown',
        smtp_code: '550',
        reason,
        Status: '5.1.1',
      };
      assert.deepEqual(bounce?.reports, [expected]);
      assert.ok(report.text.includes(reason), 'people read it as it was said');
    });
  }
  assert.equal(heard.size, count, [...heard].join());
});

function assertDate(text: string | undefined): void {
  assert.ok(Math.abs(Date.parse(text ?? '') - Date.now()) < 10 * 86_400_000, text);
}
