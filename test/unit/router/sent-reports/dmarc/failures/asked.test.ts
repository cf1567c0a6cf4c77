import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asked } from '#services/router/sent-reports/dmarc/failures/asked.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { found } from '#test/unit/router/sent-reports/dmarc/found.ts';

const MAIL = { reversePath: 'a@one.example' };

/** A message that fails DMARC, whose record has these tags. */
function failing(tags: { fo?: string; ruf?: string | undefined }, more: Partial<Authenticity> = {}): Authenticity {
  const base = found('one.example', { result: 'fail', dkimAligned: false, spfAligned: false });
  const { record = assert.fail() } = base.dmarc;
  const dmarc = { ...base.dmarc, record: { ...record, ruf: 'mailto:r@one.example', ...tags } };
  return { ...base, dmarc, ...more };
}

const NEUTRAL = { result: 'neutral', scope: 'mfrom', domain: 'one.example' } as const;
const BROKEN = [{ result: 'fail', domain: 'other.example', selector: 's', aligned: false } as const];
const FORWARDED = [{ result: 'pass', domain: 'other.example', selector: 's', aligned: false } as const];

test('a report is made where ruf and fo ask for it', () => {
  const rows: [Authenticity, boolean][] = [
    [failing({}), true],
    [failing({ ruf: undefined }), false],
    [failing({ fo: '0' }), true],
    [failing({ fo: '1' }), true],
    [failing({ fo: 'd:s:1' }), true],
    [failing({ fo: 'x' }), true],
    // No signature, one that fails, one that passes without being of the author.
    [failing({ fo: 'd' }), false],
    [failing({ fo: 'D' }, { dkim: BROKEN }), true],
    [failing({ fo: 'd' }, { dkim: FORWARDED }), false],
    [failing({ fo: 's' }), true],
    [failing({ fo: 's' }, { spf: NEUTRAL }), false],
    [failing({ fo: 'd:s' }, { spf: NEUTRAL }), false],
    [failing({ fo: 'd : s' }, { spf: NEUTRAL, dkim: BROKEN }), true],
  ];
  for (const [authenticity, expected] of rows)
    assert.equal(asked(authenticity, MAIL) !== undefined, expected, JSON.stringify(authenticity.dmarc.record));
});

test('mail that passes, has no result, or has the null reverse-path is not reported', () => {
  const all = failing({ fo: '1' });
  for (const result of ['pass', 'none', 'temperror', 'permerror'] as const)
    assert.equal(asked({ ...all, dmarc: { ...all.dmarc, result } }, MAIL), undefined);
  assert.equal(asked(all, { reversePath: '' }), undefined);
});

test('what is called a domain and is none is not reported', () => {
  const all = failing({});
  for (const from of ['', 'a b', 'one.example\r\nBcc: x@y.test'])
    assert.equal(asked({ ...all, dmarc: { ...all.dmarc, from } }, MAIL), undefined);
});
