import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '#test/kit/docs/pages.ts';

/**
 * What administrators of Domino know is in docs/move/domino.md, row by row, and each row has a test whose name begins with its
 * id: `R2 …`, `SMTPGreeting …`.
 */

const numbered = (letter: string, last: number): string[] =>
  Array.from({ length: last }, (_, i) => `${letter}${i + 1}`);

/** Relay control, authentication, what comes in, and every setting of notes.ini that Domino's documentation of SMTP names. */
const ROWS = [
  ...numbered('R', 8),
  ...numbered('A', 7),
  ...numbered('I', 9),
  'SMTPStrict821AddressSyntax',
  'SMTPGreeting',
  'SMTPStrict821LineSyntax',
  'SMTPNonStandardLineTermination',
  'SMTPNotesPort',
  'SMTP_Config_Update_Interval',
  'SMTPAllowConnectionsAnonymous',
  'SMTPTimeoutMultiplier',
  'RouterDSNForNULLReversePath',
  'SMTPVerifySendersDomainTimeout',
  'SMTPErrorLimit',
  'RouterDisableDSNRelayReports',
  'RouterDisableMailToGroups',
  'SMTPDenyMailToGroups',
  'SMTPLookupNoDircat',
  'SMTPMaxCommandLength',
  'SMTPMaxForRecipients',
  'SMTPMaxSessions',
  'SMTPVerifyAuthenticatedSender',
  'SMTPSmartHostAllDisableGroupExpansion',
  'SMTPNoVersionInRcvdHdr',
  'SMTPMaxRecipientCount',
  'SMTPTranslateAddresses',
  'SMTPTranslateLookupFullThenLocal',
  'SMTPTranslateAddressLookup',
  'SMTPTranslateAddressesPreserve822',
  'SMTPRelayHostsandDomain',
  'SMTP_RIGHT_DOT_NEVER_NOTESDOMAIN',
  'RouterUseFromAsSMTPOriginator',
  'RouterLanguageVisibleNDRStatus',
  'SMTPDenyNotUniqueRCPT',
  'RouterJunkDeliverSoftfail',
  'RouterFallbackNonTLS',
  'DKIM_KEY_*',
  'RouterDKIMSigning',
  'SMTPDebug',
  'SMTPDebugIO',
  'SMTPClientDebug',
  'DEBUG_SSL_*',
];

/** Ids in the first column of the tables of docs/move/domino.md. */
const documented = new Set(
  [...readFileSync(join(ROOT, 'docs/move/domino.md'), 'utf8').matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) =>
    cell.split(/[`,\s]+/),
  ),
);

/** First words of texts in the tests, which names of tests are among. */
const tested = new Set(
  globSync('test/{unit,integration,scenarios}/**/*.ts', { cwd: ROOT })
    .filter((file) => !file.endsWith('domino-rows.test.ts'))
    .flatMap((file) => [...readFileSync(join(ROOT, file), 'utf8').matchAll(/['"`]([A-Z][\w*]*)[ :,]/g)])
    .map(([, word = '']) => word),
);

for (const row of ROWS) {
  test(`${row} has a row in docs/move/domino.md, and a test that bears its name`, () => {
    const missing = [
      ...(documented.has(row) ? [] : ['a row in docs/move/domino.md']),
      ...(tested.has(row) ? [] : [`a test whose name begins with "${row} "`]),
    ];
    assert.deepEqual(missing, [], `${row} needs ${missing.join(' and ')}`);
  });
}
