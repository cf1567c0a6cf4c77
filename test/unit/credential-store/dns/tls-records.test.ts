import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ageAfter, expectNone, expectPlan, placeOf, planOf } from '#services/credential-store/dns/tls-records.ts';
import type { Published, PublishedValue } from '#services/credential-store/records/published-record.ts';
import { isSameText } from '#shared/dns/txt.ts';
import type { TlsDnsRecord } from '#shared/tls/dns-record.ts';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string];
const value = (key: string): string => `3 1 1 ${key}`;
const was = (key: string, role: PublishedValue['role'] = 'current'): PublishedValue => ({
  value: value(key),
  role,
  seen: 1,
});

type Given = { used: string[]; next?: string[]; complete?: boolean };
const tlsa = ({ used, next = [], complete = true }: Given): TlsDnsRecord => ({
  ...{ kind: 'tlsa', host: 'mx1.example.com' },
  ...{ used, next, complete },
});

/** What was published, what is asked for, what should be there, what should go. */
const PLANS: [what: string, before: PublishedValue[], given: Given, values: string, obsolete: string][] = [
  ['the first time', [], { used: [A] }, 'a', ''],
  ['again', [was(A)], { used: [A] }, 'a', ''],
  ['with the next one', [was(A)], { used: [A], next: [B] }, 'a b+', ''],
  ['before the switch', [was(A), was(B, 'next')], { used: [A] }, 'a b+', ''],
  ['in the middle of the switch', [was(A), was(B, 'next')], { used: [A, B] }, 'a b', ''],
  ['after the switch', [was(A), was(B, 'next')], { used: [B] }, 'b', 'a'],
  ['after the switch, while a node is silent', [was(A), was(B, 'next')], { used: [B], complete: false }, 'b a', ''],
  ['another next one', [was(A), was(B, 'next')], { used: [A], next: [C] }, 'a c+', 'b'],
  ['the next one has the key in use', [was(A)], { used: [A], next: [A] }, 'a', ''],
  ['a switch without a word before', [was(A)], { used: [B] }, 'b', 'a'],
  ['back to the former one', [was(B), was(A)], { used: [A] }, 'a', 'b'],
];
for (const [what, before, given, values, obsolete] of PLANS) {
  test(`TLSA ${what}`, () => {
    const plan = planOf(tlsa(given), before);
    const name = (text: string): string => text[6] ?? '';
    const text = plan.values.map((one) => name(one.value) + (one.role === 'next' ? '+' : '')).join(' ');
    assert.deepEqual([text, plan.obsolete.map(name).join(' ')], [values, obsolete]);
    for (const one of plan.values) assert.equal(one.seen, before.some((b) => b.value === one.value) ? 1 : undefined);
  });
}

/**
 * What was published for which nodes, what each node that answers shows now, what should be there for which nodes and what
 * should go. Nodes: n1 … n3; `a:n1,n2`: the key A, shown by these.
 */
const NODES: [what: string, before: string, now: string, values: string, obsolete: string][] = [
  ['the first time', '', 'a:n1 a:n2', 'a:n1,n2', ''],
  ['one of two is forgotten', 'a:n1 b:n2', 'a:n1', 'a:n1 b:n2', ''],
  ['and the other one has another key', 'a:n1 b:n2', 'c:n1', 'c:n1 b:n2', 'a'],
  ['it comes back with its key', 'a:n1 b:n2', 'a:n1 b:n2', 'a:n1 b:n2', ''],
  ['it comes back with another', 'a:n1 b:n2', 'a:n1 c:n2', 'a:n1 c:n2', 'b'],
  ['it comes back with that of the first', 'a:n1 b:n2', 'a:n1 a:n2', 'a:n1,n2', 'b'],
  ['one of two that share a key is forgotten', 'a:n1,n2', 'b:n1', 'b:n1 a:n2', ''],
  ['it was said to be gone for good', 'a:n1 b', 'a:n1', 'a:n1', 'b'],
  ['one takes no mail any more', 'a:n1 b:n2', 'a:n1 -:n2', 'a:n1', 'b'],
];
for (const [what, before, now, values, obsolete] of NODES) {
  test(`TLSA of nodes: ${what}`, () => {
    const KEYS: Record<string, string> = { a: A, b: B, c: C };
    const read = (text: string): { key: string; nodes: string[] }[] =>
      text.split(' ').flatMap((one) => {
        const [letter = '', nodes] = one.split(':');
        return letter === '' ? [] : [{ key: KEYS[letter] ?? '', nodes: nodes?.split(',') ?? [] }];
      });
    const shownBy = read(now).flatMap(({ key, nodes }) => (key === '' ? [] : nodes.map((node) => ({ key, node }))));
    const used = [...new Set(shownBy.map(({ key }) => key))];
    const answered = read(now).flatMap(({ nodes }) => nodes);
    const record: TlsDnsRecord = { kind: 'tlsa', host: 'mx.test', used, next: [], complete: true, answered, shownBy };
    const plan = planOf(
      record,
      read(before).map(({ key, nodes }) => ({ ...was(key), ...(nodes.length > 0 && { nodes }) })),
    );
    const text = plan.values.map((one) => `${one.value[6]}:${one.nodes}`).join(' ');
    assert.deepEqual([text, plan.obsolete.map((one) => one[6]).join(' ')], [values, obsolete]);
  });
}

test('a TXT record takes the place of the one before', () => {
  const record: TlsDnsRecord = { kind: 'mta-sts', domain: 'example.com', id: 'b1' };
  assert.deepEqual(placeOf(record), { name: '_mta-sts.example.com', type: 'TXT' });
  const plan = planOf(record, [{ value: 'v=STSv1; id=a1;', role: 'current', seen: 1 }]);
  assert.deepEqual(plan.values, [{ value: 'v=STSv1; id=b1;', role: 'current' }]);
  assert.deepEqual(plan.obsolete, ['v=STSv1; id=a1;']);
  const rua = ['mailto:a@example.com', 'https://example.com/r'];
  const reports: TlsDnsRecord = { kind: 'tls-rpt', domain: 'example.com', rua };
  assert.equal(placeOf(reports).name, '_smtp._tls.example.com');
  assert.deepEqual(planOf(reports, []).values, [
    { value: 'v=TLSRPTv1; rua=mailto:a@example.com,https://example.com/r;', role: 'current' },
  ]);
});

test('what servers say of a set: others may be there, none may miss, nothing obsolete', () => {
  const { judge, isOurs } = expectPlan('TLSA', planOf(tlsa({ used: [B], next: [C] }), [was(A)]));
  assert.equal(judge([value(B), value(C), '2 1 1 00']).verdict, 'ok');
  assert.match(judge([value(C)]).detail, /^does not have 3 1 1 b+ there$/);
  assert.match(judge([value(A), value(B), value(C)]).detail, /^still has 3 1 1 a+, which is obsolete$/);
  assert.deepEqual([isOurs([value(A)]), isOurs(['2 1 1 00'])], [true, false]);
});

test('what servers say of a text: exactly one of its version', () => {
  const record: TlsDnsRecord = { kind: 'mta-sts', domain: 'example.com', id: 'b1' };
  const { judge } = expectPlan('TXT', planOf(record, []));
  const verdict = (...texts: string[]): string => judge(texts).verdict;
  assert.equal(verdict('v=STSv1; id=b1;'), 'ok');
  assert.equal(verdict('v=STSv1;id=b1', 'v=spf1 -all'), 'ok');
  assert.equal(verdict('v=STSv1; id=b2;'), 'different');
  assert.equal(verdict('v=STSv1; id=b1;', 'v=STSv1; id=b2;'), 'duplicate');
  assert.equal(verdict('hello'), 'missing');
  assert.equal(verdict(), 'missing');
});

test('texts that say the same', () => {
  assert.ok(isSameText('v=STSv1; id=a;', 'v=STSv1;id=a'));
  assert.ok(!isSameText('v=STSv1; id=a;', 'v=STSv1; id=A;'));
});

const DAY = 86_400_000;
const NOW = 1000 * DAY;
const sts = (id: string) => `v=STSv1; id=${id};`;
const policy = (id: string, more: Partial<Published>): Published => ({
  values: [{ value: sts(id), role: 'current' }],
  ...more,
});

/** What was published, what is from now on (no id: withdrawn), how long senders keep former policies, in days from now. */
const AGES: [what: string, before: Published, id: string | undefined, days: number, kept: number | undefined][] = [
  ['the first policy', { values: [] }, 'a', 7, undefined],
  ['the same again', policy('a', { maxAge: 7 * DAY }), 'a', 7, undefined],
  ['another of the same age', policy('a', { maxAge: 7 * DAY }), 'b', 7, undefined],
  ['a shorter age', policy('a', { maxAge: 30 * DAY }), 'b', 7, 30],
  ['mode none', policy('a', { maxAge: 7 * DAY }), 'b', 0, 7],
  ['mode none, after an older and longer one', policy('a', { maxAge: 7 * DAY, kept: NOW + 20 * DAY }), 'b', 0, 20],
  ['mode none again, days later', policy('b', { maxAge: 0, kept: NOW + 3 * DAY }), 'b', 0, 3],
  ['mode none from the beginning', { values: [] }, 'a', 0, undefined],
  ['withdrawn without mode none', policy('a', { maxAge: 7 * DAY }), undefined, 0, 7],
  ['withdrawn, looked at again', policy('a', { maxAge: 0, kept: NOW - DAY }), undefined, 0, -1],
  ['withdrawn after mode none alone', policy('a', { maxAge: 0 }), undefined, 0, undefined],
  ['withdrawn, published by a version that kept no age', policy('a', {}), undefined, 0, 31_557_600_000 / DAY],
  ['the same, published by that version', policy('a', {}), 'a', 7, undefined],
];
for (const [what, before, id, days, kept] of AGES) {
  test(`how long former policies are kept: ${what}`, () => {
    const after = ageAfter(before, { ...(id !== undefined && { value: sts(id) }), maxAge: days * DAY }, NOW);
    assert.deepEqual(after, { maxAge: days * DAY, ...(kept !== undefined && { kept: NOW + kept * DAY }) });
  });
}

test('what servers say of a name where nothing of ours should be', () => {
  const { judge, isOurs } = expectNone('TXT', [sts('a')]);
  assert.equal(judge(['v=STSv1; id=b;', 'hello']).verdict, 'ok');
  assert.match(judge(['v=STSv1;id=a', 'hello']).detail, /^still has "v=STSv1;id=a"$/);
  assert.deepEqual([isOurs(['v=STSv1; id=a']), isOurs(['hello'])], [true, false]);
});
