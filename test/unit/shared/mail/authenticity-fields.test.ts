import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { authenticationResults, receivedSpf } from '#shared/mail/authenticity-fields.ts';

const FOUND: Authenticity = {
  spf: { result: 'pass', scope: 'mfrom', domain: 'author.test' },
  dkim: [
    {
      ...{ result: 'pass', domain: 'author.test', selector: 's1', algorithm: 'rsa-sha256', signature: 'Ab+/9==x' },
      aligned: true,
    },
    { result: 'permerror', domain: 'list.test', selector: 'k_1', aligned: false, reason: 'no key (for now)' },
  ],
  arc: { result: 'pass', sets: 2, sealer: 'list.test' },
  dmarc: {
    ...{
      result: 'pass',
      from: 'author.test',
      policy: 'reject',
      dkimAligned: true,
      spfAligned: true,
      disposition: 'none',
    },
    record: { domain: 'author.test', p: 'reject', adkim: 'r', aspf: 'r', testing: false },
  },
};
const trace = {
  client: { address: '192.0.2.7', helo: 'mail.author.test' },
  reversePath: 'ann@author.test',
  hostname: 'mx1.local.test',
};

test('Authentication-Results has each result on a line of its own', () => {
  assert.equal(
    authenticationResults('mx1.local.test', FOUND),
    [
      'Authentication-Results: mx1.local.test;',
      '\tspf=pass smtp.mailfrom=author.test;',
      '\tdkim=pass header.d=author.test header.s=s1 header.a=rsa-sha256',
      '\theader.b="Ab+/9==x";',
      '\tdkim=permerror (no key \\(for now\\)) header.d=list.test header.s=k_1;',
      '\tarc=pass (2 sets, the last by list.test);',
      '\tdmarc=pass (p=reject) header.from=author.test policy.dmarc=reject',
      '',
    ].join('\r\n'),
  );
});

test('Received-SPF names what was checked and for whom', () => {
  assert.equal(
    receivedSpf(FOUND.spf, trace),
    [
      'Received-SPF: pass (mx1.local.test: author.test designates 192.0.2.7 as',
      '\tpermitted sender)',
      '\treceiver=mx1.local.test;',
      '\tidentity=mailfrom;',
      '\tclient-ip=192.0.2.7;',
      '\thelo=mail.author.test;',
      '\tenvelope-from="ann@author.test"',
      '',
    ].join('\r\n'),
  );
});

test('what a stranger chose ends no value, no comment and no field', () => {
  const evil = `x"\\();\r\nX-Evil: 1\r\n\r\n\u0000\u202e=?utf-8?q?x?=; dkim=pass ${'y'.repeat(5000)}`;
  const found: Authenticity = {
    spf: { result: 'permerror', scope: 'helo', domain: evil, reason: evil },
    dkim: [
      { result: 'fail', domain: evil, selector: evil, algorithm: evil, signature: evil, aligned: false, reason: evil },
    ],
    arc: { result: 'fail', sets: 1, sealer: evil, reason: evil },
    dmarc: { ...FOUND.dmarc, from: evil, reason: evil },
  };
  const fields = [
    authenticationResults('mx1.local.test', found),
    receivedSpf(found.spf, { ...trace, client: { address: evil, helo: evil }, reversePath: evil }),
  ];
  for (const field of fields) {
    const lines = field.split('\r\n');
    assert.equal(lines.pop(), '');
    assert.ok(
      lines.slice(1).every((line) => /^\t[\x21-\x7e]/.test(line)),
      field,
    );
    assert.ok(lines.every((line) => line.length < 998 && /^[\x09\x20-\x7e]*$/.test(line)));
    // Without quoted strings and comments, only what this server says is left.
    const bare = withoutQuotes(field);
    assert.doesNotMatch(bare, /Evil|dkim=pass/);
  }
});

/** Comments nest (RFC 5322 §3.2.2). */
function withoutQuotes(field: string): string {
  let text = '';
  for (let i = 0, depth = 0, isQuoted = false; i < field.length; i++) {
    const char = field.charAt(i);
    if (char === '\\' && (isQuoted || depth > 0)) i++;
    else if (char === '"' && depth === 0) isQuoted = !isQuoted;
    else if (char === '(' && !isQuoted) depth++;
    else if (char === ')' && !isQuoted) depth--;
    else if (!isQuoted && depth === 0) text += char;
  }
  return text;
}

test('unsigned mail says so, and what is not known is left out', () => {
  const field = authenticationResults('mx1.local.test', {
    spf: { result: 'none', scope: 'helo', domain: '' },
    dkim: [],
    arc: { result: 'none', sets: 0 },
    dmarc: { result: 'none', from: 'author.test', dkimAligned: false, spfAligned: false, disposition: 'none' },
  });
  assert.equal(
    field,
    'Authentication-Results: mx1.local.test;\r\n\tspf=none (no domain);\r\n\tdkim=none;\r\n\tarc=none;\r\n\tdmarc=none header.from=author.test\r\n',
  );
});
