import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTransition, openTransitions, type Transition } from '#services/credential-store/life/next-transition.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { keyIn, NOW, recordWith, rotationOf } from '#test/unit/credential-store/records/fixture.ts';

const text = ({ kind, selectors, dueAt }: Transition): string =>
  `${kind} ${selectors.join('+')}${dueAt === undefined ? '' : ` at ${dueAt - NOW}`}`;
const rotating = (old: DomainRecord['keys'], fresh: DomainRecord['keys'], more = {}): DomainRecord => {
  const names = (keys: DomainRecord['keys']): string[] => keys.map((k) => k.selector);
  return recordWith([...old, ...fresh], { rotation: rotationOf(names(old), names(fresh), more) });
};
const [old, older] = [keyIn('active'), keyIn('active', 'e1')];
const idle = { activate: false };
const schedule = { days: 1, at: '03:00', zone: 'UTC', parallel: false, next: NOW + 9 };
const used = [{ selector: 's1', fingerprint: '', deleted: NOW }];
const stuck = { problem: { text: 'REFUSED', since: NOW, permanent: true } };

const CASES: [what: string, record: DomainRecord, transitions: string[]][] = [
  ['nothing to do', recordWith([old, keyIn('proven', 's2', idle)]), []],
  ['a new key', recordWith([keyIn('created')]), ['replicated s1']],
  ['a replicated key', recordWith([keyIn('replicated')]), ['published s1']],
  ['a published key', recordWith([keyIn('published')]), ['proven s1']],
  ['a proven key', recordWith([keyIn('proven')]), ['active s1']],
  ['a selector used again waits for caches', recordWith([keyIn('proven')], { used }), ['active s1 at 3600000']],
  ['a retiring key without its time', recordWith([keyIn('retiring', 's1', idle)]), ['stopped s1']],
  ['a retiring key', recordWith([keyIn('retiring', 's1', { ...idle, until: NOW + 5 })]), ['retired s1 at 5']],
  ['a retiring key that is wanted again', recordWith([keyIn('retiring', 's1', { until: NOW + 5 })]), ['active s1']],
  ['a retired key', recordWith([keyIn('retired')]), ['revoked s1']],
  ['a revoked key', recordWith([keyIn('revoked', 's1', { until: NOW + 5 })]), ['deleted s1 at 5']],
  ['a revoked key that never signed', recordWith([keyIn('revoked')]), ['deleted s1']],
  [
    'a key that stopped',
    recordWith([keyIn('replicated', 's1', stuck), keyIn('created', 's2')]),
    ['replicated s2', 'published s1'],
  ],
  [
    'new keys of a rotation wait for each other',
    rotating([old, older], [keyIn('proven', 's2'), keyIn('published', 'e2')]),
    ['proven e2'],
  ],
  [
    'and become active together',
    rotating([old, older], [keyIn('proven', 's2'), keyIn('proven', 'e2')]),
    ['active s2+e2'],
  ],
  ['then the switch', rotating([old], [keyIn('active', 's2')]), ['switched s2']],
  ['then the end', rotating([old], [keyIn('active', 's2')], { switched: { at: NOW, revision: 1 } }), ['replaced s1']],
  [
    'after a time side by side',
    rotating([old], [keyIn('active', 's2')], { switched: { at: NOW, revision: 1 }, sideBySide: 7 }),
    ['replaced s1 at 7'],
  ],
  [
    'immediately where the old one no longer signs',
    rotating([keyIn('retiring', 's1', idle)], [keyIn('active', 's2')], {
      switched: { at: NOW, revision: 1 },
      sideBySide: 7,
    }),
    ['replaced ', 'stopped s1'],
  ],
  [
    'frozen: only what does not belong to the rotation',
    {
      ...rotating([old], [keyIn('published', 's2')], { frozen: { at: NOW, by: 'x', reason: '' } }),
      keys: [keyIn('retired'), keyIn('published', 's2'), keyIn('created', 's3')],
    },
    ['revoked s1', 'replicated s3'],
  ],
  ['a schedule', recordWith([old, older], { schedule }), ['rotate s1+e1 at 9']],
  ['a schedule without an active key', recordWith([keyIn('retired')], { schedule }), ['revoked s1']],
  ['a schedule while a rotation runs', { ...rotating([old], [keyIn('created', 's2')]), schedule }, ['replicated s2']],
];

for (const [what, record, transitions] of CASES) {
  test(`open transitions: ${what}`, () => assert.deepEqual(openTransitions(record).map(text), transitions));
}

test('the next transition is the first due one, also after one that waits', () => {
  const record = recordWith([
    keyIn('revoked', 's1', { until: NOW + 5 }),
    keyIn('created', 's2'),
    keyIn('retired', 's3'),
  ]);
  assert.equal(nextTransition(record, NOW)?.kind, 'revoked');
  assert.equal(nextTransition(record, NOW, (s) => s.kind !== 'revoked')?.kind, 'replicated');
  assert.equal(
    nextTransition(record, NOW, (s) => s.kind === 'deleted'),
    undefined,
  );
  assert.equal(nextTransition(record, NOW + 5, (s) => s.kind === 'deleted')?.kind, 'deleted');
});
