import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteOf } from '#services/router/sent-reports/dmarc/note.ts';
import { reportXml } from '#services/router/sent-reports/dmarc/xml.ts';
import { ORIGIN } from '#test/unit/router/fixture.ts';
import { found } from './found.ts';

const ABOUT = { origin: ORIGIN, reversePath: 'a@one.example', at: 0 };

test('text of others stays text', () => {
  const authenticity = found('one.example');
  authenticity.dkim = [{ result: 'fail', domain: 'x.test', selector: 'a</selector>&\u0000\ud800"', aligned: false }];
  const { published, row } = noteOf(authenticity, ABOUT) ?? assert.fail();
  const pieces = reportXml({
    ...{ organisation: 'A & B', email: 'a@b.test', generator: 'x', id: 'ID', domain: 'one.example', published },
    ...{ begin: 0, end: 86_399, rows: [{ count: 1, row }], error: '<&>' },
  });
  const xml = [...pieces].join('');
  assert.match(xml, /<selector>a&lt;\/selector&gt;&amp;\ufffd\ufffd&quot;<\/selector>/);
  assert.match(xml, /<org_name>A &amp; B<\/org_name>/);
  assert.match(xml, /<error>&lt;&amp;&gt;<\/error>/);
});

test('what counts, and as what', () => {
  const row = (dmarc: Parameters<typeof found>[1]) => noteOf(found('one.example', dmarc), ABOUT)?.row;
  const fail = { result: 'fail' as const, dkimAligned: false, spfAligned: false };
  assert.equal(row({})?.disposition, 'pass');
  assert.equal(row({ policy: 'none' })?.disposition, 'none');
  assert.deepEqual([row(fail)?.disposition, row(fail)?.reason], ['reject', undefined]);
  const spared = row({ ...fail, disposition: 'none' });
  assert.deepEqual([spared?.disposition, spared?.reason?.type], ['none', 'local_policy']);
  const listed = row({ ...fail, disposition: 'none', override: { type: 'mailing_list', comment: 'a list' } });
  assert.deepEqual(listed?.reason, { type: 'mailing_list', comment: 'a list' });
  assert.equal(row({ result: 'temperror' }), undefined);
  assert.equal(noteOf(found('one!example'), ABOUT), undefined);
  assert.equal(noteOf(undefined, ABOUT), undefined);
  const mapped = { ...ORIGIN, client: { ...ORIGIN.client, address: '::ffff:192.0.2.7' } };
  assert.equal(noteOf(found('one.example'), { ...ABOUT, origin: mapped })?.row.source, '192.0.2.7');
});
