import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { clamdVerdict } from '#services/listener/filters/clamd.ts';
import type { FilterVerdict, HeaderChange } from '#services/listener/filters/filter.ts';
import { changeHeader } from '#services/listener/filters/header-changes.ts';
import { type Answered, outcomeOf, withOutcome } from '#services/listener/filters/outcome.ts';
import { rspamdVerdict } from '#services/listener/filters/rspamd-verdict.ts';
import { processorMs } from '#test/kit/processor-time.ts';

const passes: FilterVerdict = { action: 'accept', junk: false, changes: [], said: '' };

function verdict(answer: object): FilterVerdict {
  return rspamdVerdict(200, JSON.stringify(answer));
}

test('each action of rspamd, and those that nobody knows', () => {
  const rows: [action: string, outcome: string][] = [
    ['no action', 'accept'],
    ['greylist', 'accept'],
    ['add header', 'junk'],
    ['rewrite subject', 'junk'],
    ['quarantine', 'junk'],
    ['soft reject', '451 Message is deferred, please try again later'],
    ['reject', '550 Message is rejected as spam'],
    ['discard', 'discard'],
    ['our own action', 'accept'],
  ];
  for (const [action, outcome] of rows) {
    const given = verdict({ action, score: 7.25, unknown: {} });
    const found =
      'reply' in given
        ? `${given.reply.code} ${given.reply.text}`
        : given.action === 'accept' && given.junk
          ? 'junk'
          : given.action;
    assert.deepEqual([found, given.said], [outcome, `${action}, score 7.25`]);
  }
});

test('fields that rspamd adds, removes and signs with, in all the forms that it has for them', () => {
  const milter = {
    add_headers: {
      'X-A': 'one',
      'X-B': { value: 'two', order: 0 },
      'X-C': ['three', { value: 'four', order: 1 }],
      'X-D': 5,
    },
    remove_headers: { 'X-Old': 0, 'X-Last': -1, 'X-Some': [1, 3] },
  };
  const given = verdict({ action: 'rewrite subject', subject: 'Grüße', milter, 'dkim-signature': ['v=1;\r\n\tb=x'] });
  assert.ok(given.action === 'accept');
  const seen =
    'X-Some: 1\r\nX-Old: a\r\nX-Last: 1\r\nSubject : hi\r\nx-old: b\r\nX-Some: 2\r\nX-Last: 2\r\nX-Some: 3\r\n\r\n';
  assert.deepEqual(changeHeader(given.changes, seen, seen), {
    added: [
      'X-A: one\r\n',
      'X-B: two\r\n',
      'X-C: three\r\n',
      'X-C: four\r\n',
      'X-D: 5\r\n',
      'DKIM-Signature: v=1;\r\n\tb=x\r\n',
    ],
    header: 'X-Last: 1\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\nX-Some: 2\r\n\r\n',
  });
});

test('changes find their fields where policy has changed the header meanwhile', () => {
  const remove = (name: string, occurrence: number): HeaderChange => ({ kind: 'remove', name, occurrence });
  const seen = 'Authentication-Results: forged\r\nAuthentication-Results: far\r\nSubject: a\r\nFrom: b\r\n\r\n';
  const now = 'Authentication-Results: far\r\nSubject: [External] a\r\nFrom: b\r\n\r\n';
  const header = (changes: HeaderChange[]): string | undefined => changeHeader(changes, seen, now).header;
  assert.equal(header([remove('authentication-results', 2)]), 'Subject: [External] a\r\nFrom: b\r\n\r\n');
  assert.equal(header([remove('Authentication-Results', 1)]), undefined, 'policy took it away already');
  const subject: HeaderChange = { kind: 'replace', name: 'Subject', occurrence: 1, value: 'spam' };
  assert.equal(header([subject]), 'Authentication-Results: far\r\nSubject: spam\r\nFrom: b\r\n\r\n');
  assert.deepEqual(changeHeader([{ ...subject, name: 'X-New' }], seen, now), {
    added: ['X-New: spam\r\n'],
    header: undefined,
  });
  assert.equal(header([remove('From', 2), remove('From', -2), remove('X-None', -1)]), undefined);
});

test('answers of clamd', () => {
  assert.deepEqual(clamdVerdict('stream: OK'), { ...passes, said: 'clean' });
  assert.equal(clamdVerdict('stream: Win.Test FOUND').action, 'reject');
  for (const text of ['', 'OK', 'stream: FOUND', 'stream: OK FOUND ERROR', 'UNKNOWN COMMAND'])
    assert.throws(() => clamdVerdict(text), { code: 'filter-failed' });
});

test('of the verdicts of several filters the strongest wins; all changes are made where all accept', () => {
  const answered = (n: number, given: FilterVerdict | undefined, onTrouble = 'defer'): Answered => {
    const entry = { name: `f${n}`, type: 'clamd', url: 'unix:/c', 'on-trouble': onTrouble };
    const [config] = ConfigSchema.parse({ filters: [entry] }).filters;
    assert.ok(config);
    return given === undefined ? { config, error: 'away' } : { config, result: given };
  };
  const add = (name: string): HeaderChange => ({ kind: 'add', name, value: '1' });
  const reply = (code: number, text: string) => ({ code, enhanced: `${String(code)[0]}.7.1`, text });
  const reject: FilterVerdict = { action: 'reject', reply: reply(550, 'no'), said: 'no' };
  const defer: FilterVerdict = { action: 'defer', reply: reply(451, 'later'), said: 'later' };
  const discard: FilterVerdict = { action: 'discard', said: 'gone' };
  const junk: FilterVerdict = { action: 'accept', junk: true, changes: [add('X-A')], said: 'junk' };
  const fine: FilterVerdict = { ...passes, changes: [add('X-B')] };
  const rows: [FilterVerdict | undefined, FilterVerdict | undefined, string][] = [
    [junk, reject, 'reject'],
    [undefined, reject, 'reject'],
    [reject, discard, 'reject'],
    [discard, undefined, 'discard'],
    [defer, discard, 'discard'],
    [fine, undefined, 'defer'],
    [defer, junk, 'defer'],
    [fine, junk, 'accept'],
  ];
  for (const [first, second, action] of rows) {
    assert.equal(outcomeOf([answered(1, first), answered(2, second)]).action, action);
  }
  const both = outcomeOf([answered(1, fine), answered(2, junk), answered(3, undefined, 'accept')]);
  assert.ok(both.action === 'accept');
  const acceptance = { prepend: ['Received: x\r\n'], junk: false, originating: true };
  assert.deepEqual(withOutcome(acceptance, both, Buffer.from('Subject: a\r\n\r\n')), {
    prepend: [
      'Received: x\r\n',
      'X-B: 1\r\n',
      'X-A: 1\r\n',
      'X-Sealpost-Unfiltered: f3; the filter is not available\r\n',
    ],
    junk: true,
    originating: true,
  });
  // A header that the bus could not carry stays as it came.
  const subject: HeaderChange = { kind: 'replace', name: 'Subject', occurrence: 1, value: 'spam' };
  const large = Buffer.from(`Subject: a\r\nX: ${'\u00e9'.repeat(250_000)}\r\n\r\n`);
  const { header } = withOutcome({ ...acceptance, header: undefined }, { ...both, changes: [subject] }, large);
  assert.equal(header, undefined);
  assert.deepEqual(both.said, { f1: '', f2: 'junk', f3: 'failed: away' });
});

test('a subject that no field can hold leaves the message junk', () => {
  for (const subject of ['x'.repeat(2000), 'a\x01b', 'y '.repeat(40_000), 'a\r\nX-B: c']) {
    const given = verdict({ action: 'rewrite subject', subject, milter: { add_headers: { 'X-A': 'one' } } });
    assert.ok(given.action === 'accept' && given.junk);
    assert.deepEqual(given.changes, [{ kind: 'add', name: 'X-A', value: 'one' }]);
  }
});

test('a sender who writes tens of thousands of a field that is removed gains no time by it', () => {
  const fields = Array.from({ length: 40_000 }, (_, i) => `X-Spam: ${i}\r\n`);
  const changes: HeaderChange[] = [{ kind: 'remove', name: 'X-Spam', occurrence: 'all' }];
  for (let i = 1; i <= 199; i++) changes.push({ kind: 'replace', name: 'X-Spam', occurrence: i, value: 'x' });
  const took = processorMs(() =>
    assert.deepEqual(changeHeader(changes, `${fields.join('')}\r\n`, `${fields.toReversed().join('')}\r\n`), {
      ...{ added: [], header: '\r\n' },
    }),
  );
  assert.ok(took < 1500, `${took} ms`);
});
