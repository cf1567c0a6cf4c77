import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { planNotesIni } from '#services/console/cli/migration/domino/notes-ini.ts';
import type { AccountLine, Verdict } from '#services/console/cli/migration/plan.ts';

/** What a notes.ini becomes: every setting of Domino's SMTP documentation, and files that are none. */

/** The lines about settings of the file, and the configuration, which must be valid. */
async function plan(text: string): Promise<{ lines: AccountLine[]; config: Config; advice: string }> {
  const { account, draft, advice } = planNotesIni(text, '/etc/notes.ini');
  const loaded = await parseConfig(draft.yaml('made by a test'), '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const lines = account.filter(({ place }) => place.startsWith('notes.ini:'));
  return { lines, config: loaded.config, advice: advice.join('\n') };
}

type Expected = [line: string, verdict: Verdict, text: RegExp, option?: (config: Config) => unknown, value?: unknown];

const expected: Record<string, Expected[]> = {
  'SMTP_Config_Update_Interval has no use: changes are in force immediately': [
    ['SMTP_Config_Update_Interval=120', 'default', /reads sealpost\.yaml when it changes/],
  ],
  'RouterDSNForNULLReversePath is dsn.null-reverse-path': [
    ['RouterDSNForNULLReversePath=0', 'taken', /is held for an operator/, (c) => c.dsn['null-reverse-path'], 'hold'],
    ['RouterDSNForNULLReversePath=1', 'to-do', /null-reverse-path: postmaster, and dsn\.postmaster/],
    ['RouterDSNForNULLReversePath=2', 'default', /causes no notice/, (c) => c.dsn['null-reverse-path'], 'none'],
    ['RouterDSNForNULLReversePath=3', 'problem', /"3" is not 0 or 1 or 2: not taken/],
  ],
  'RouterDisableDSNRelayReports is dsn.relay-reports': [
    [
      'RouterDisableDSNRelayReports=0',
      'default',
      /is told that mail went to a server without DSN/,
      (c) => c.dsn['relay-reports'],
      true,
    ],
    ['RouterDisableDSNRelayReports=1', 'taken', /nobody is told/, (c) => c.dsn['relay-reports'], false],
  ],
  'RouterLanguageVisibleNDRStatus is dsn.language': [
    ['RouterLanguageVisibleNDRStatus=0', 'default', /in English/, (c) => c.dsn.language, 'en'],
    ['RouterLanguageVisibleNDRStatus=1', 'to-do', /set dsn\.language to de, fr or ja/],
    ['RouterLanguageVisibleNDRStatus=de', 'problem', /"de" is not 0 or 1/],
  ],
  'SMTPLookupNoDircat has nothing to turn off': [
    ['SMTPLookupNoDircat=0', 'none', /no directory catalog/],
    ['SMTPLookupNoDircat=1', 'default', /no directory catalog/],
  ],
  'SMTP_RIGHT_DOT_NEVER_NOTESDOMAIN means nothing outside Notes': [
    ['SMTP_RIGHT_DOT_NEVER_NOTESDOMAIN=1', 'none', /domain in DNS/],
  ],
  'RouterJunkDeliverSoftfail is authenticity.junk.soft-fail': [
    ['RouterJunkDeliverSoftfail=0', 'default', /not marked as junk/, (c) => c.authenticity.junk['soft-fail'], false],
    ['RouterJunkDeliverSoftfail=1', 'taken', /marked as junk/, (c) => c.authenticity.junk['soft-fail'], true],
    ['RouterJunkDeliverSoftfail=2', 'problem', /"2" is not 0 or 1/],
  ],
  'RouterFallbackNonTLS is 1 by default': [
    ['RouterFallbackNonTLS=0', 'to-do', /tls: required/],
    ['RouterFallbackNonTLS=1', 'default', /opportunistic/, (c) => c.routes[0]?.tls, 'opportunistic'],
  ],
  'DKIM_KEY_* become entries of domains': [
    ['DKIM_KEY_a.example=s1', 'taken', /key s1 of a\.example/, (c) => c.domains.map((d) => d.name), ['a.example']],
    [
      'DKIM_KEY_b.example=a.example;s1',
      'taken',
      /sign-as: a\.example/,
      (c) => c.domains.map((d) => d['sign-as'] ?? d.name),
      ['a.example', 'a.example'],
    ],
    ['DKIM_KEY_a.example=', 'problem', /not a selector/, (c) => c.domains, []],
  ],
  'RouterDKIMSigning is 1 by default, and 2 after the keys are there': [
    ['RouterDKIMSigning=0', 'none', /Domino does not sign/],
    ['RouterDKIMSigning=1', 'default', /best-effort/],
    ['RouterDKIMSigning=2', 'to-do', /when the keys are there/],
    ['RouterDKIMSigning=7', 'problem', /neither 1 nor 2/],
  ],
  'SMTPDebug has no counterpart': [
    ['SMTPDebug=0', 'default', /nothing is traced/],
    ['SMTPDebug=3', 'none', /traces of SMTP sessions are not written down here/],
  ],
  'SMTPDebugIO has no counterpart': [['SMTPDebugIO=4', 'none', /bytes of SMTP sessions/]],
  'SMTPClientDebug has no counterpart': [['SMTPClientDebug=1', 'none', /outgoing SMTP sessions/]],
  'DEBUG_SSL_* have no counterpart': [
    ['DEBUG_SSL_ALL=2', 'none', /TLS handshakes/],
    ['debug_ssl_handshake=0', 'default', /nothing is traced/],
  ],
};

for (const [name, rows] of Object.entries(expected)) {
  for (const [line, verdict, text, option, value] of rows) {
    test(`${name}: ${line}`, async () => {
      const { lines, config } = await plan(`${line}\r\n`);
      assert.deepEqual(
        lines.map((l) => [l.place, l.setting, l.verdict]),
        [['notes.ini:1', line, verdict]],
      );
      assert.match(lines[0]?.text ?? '', text);
      if (option !== undefined) assert.deepEqual(option(config), value);
    });
  }
}

test('settings of groups and names are options, and of two rules for groups the stricter one counts', async () => {
  const { lines, config } = await plan(
    [
      'SMTPDenyMailToGroups=2',
      'SMTPSmartHostAllDisableGroupExpansion=1',
      'SMTPTranslateAddressesPreserve822=1',
      'RouterUseFromAsSMTPOriginator=1',
      'SMTPTranslateAddresses=1',
      'SMTPDenyNotUniqueRCPT=0',
      'SMTPMaxForRecipients=0',
      'SMTPStrict821AddressSyntax=0',
    ].join('\n'),
  );
  assert.deepEqual(
    lines.map((l) => l.verdict),
    ['taken', 'none', 'taken', 'taken', 'to-do', 'to-do', 'taken', 'taken'],
  );
  assert.equal(config.directory['mail-to-groups'], 'refuse');
  assert.deepEqual([config.rewrite['keep-original'], config.rewrite['reverse-path']], [true, 'from']);
  assert.equal(config.limits['for-recipients'], 0);
  assert.equal(config.listeners[0]?.['address-syntax'], 'lenient');
});

test('a changed limit of notes.ini is an option, and a wrong one is told', async () => {
  const { lines, config } = await plan(
    [
      '[Notes]',
      'SMTPGreeting=Welcome to %s Example',
      'smtpnotesport=SMTPport',
      'SMTPport_TcpIpAddress=0,192.0.2.1:25',
      'SMTPTimeoutMultiplier=2',
      'SMTPErrorLimit=7',
      'SMTPMaxCommandLength=1200',
      'SMTPMaxSessions=300',
      'SMTPMaxRecipientCount=50',
      'SMTPRelayHostsandDomain=0',
      'SMTPVerifySendersDomainTimeout=30',
      'SMTPMaxForRecipients=x',
    ].join('\r\n'),
  );
  const [listener] = config.listeners;
  assert.deepEqual([listener?.greeting, listener?.address], ['Welcome to %s Example', '192.0.2.1']);
  assert.deepEqual([config.limits.timeout, config.delivery.timeout.data], [600_000, 1_200_000]);
  const { errors, sessions, recipients, 'command-length': length } = config.limits;
  assert.deepEqual(
    { errors, sessions, recipients, length },
    { errors: 7, sessions: 300, recipients: 100, length: 1200 },
  );
  assert.equal(config.relay.precedence, 'allow');
  assert.deepEqual([config.checks['sender-domain'].enabled, config.checks['sender-domain'].timeout], [true, 8000]);
  assert.equal(lines.length, 11);
  assert.deepEqual(
    lines.filter((l) => l.verdict === 'problem').map((l) => [l.place, l.text]),
    [['notes.ini:12', '"x" is not a whole number from 0 to 1000000: not taken']],
  );
});

test('comments, other lines, repeated and broken lines', async () => {
  const { lines, advice } = await plan(
    [
      '; SMTPErrorLimit=5',
      '# a comment',
      'KitType=2',
      'KitType=1',
      'SMTPErrorLimit=5',
      'SMTPErrorLimit=6',
      'SMTPDebug',
      '=1',
      'RouterNotKnown=1',
    ].join('\n'),
  );
  assert.deepEqual(
    lines.map((l) => [l.place, l.verdict]),
    [
      ['notes.ini:5', 'taken'],
      ['notes.ini:6', 'problem'],
      ['notes.ini:7', 'problem'],
      ['notes.ini:9', 'problem'],
    ],
  );
  assert.match(lines[1]?.text ?? '', /stands in line 5 already/);
  assert.match(lines[3]?.text ?? '', /not known/);
  assert.match(advice, /^3 other lines say nothing of mail/);
});

test('a greeting of another code page is not taken, and disturbs nothing', async () => {
  const { lines, config } = await plan('SMTPGreeting=Gr\ufffd\ufffde\nSMTPErrorLimit=5\n');
  assert.deepEqual(
    lines.map((l) => l.verdict),
    ['problem', 'taken'],
  );
  assert.equal(config.listeners[0]?.greeting, '');
});

test('10 MB of rubbish are read in a moment, and each line about mail is told', async () => {
  const rubbish = `\0\x01\xff=\x1b[31m${'x'.repeat(80)}\n`.repeat(50_000);
  const long = `SMTPErrorLimit=${'9'.repeat(5_000_000)}\n`;
  const many = Array.from({ length: 20_000 }, (_, i) => `SMTPNothing${i}=1\n`).join('');
  const { lines, config } = await plan(rubbish + long + many);
  assert.equal(lines.length, 20_001);
  assert.ok(lines.every((l) => l.verdict === 'problem' && l.setting.length < 600));
  assert.equal(config.limits.errors, 20);
});
