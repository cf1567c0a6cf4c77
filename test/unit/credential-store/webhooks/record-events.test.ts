import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CredentialRecord, Rotation } from '#services/credential-store/records/domain-record.ts';
import { EXPIRING_MS, eventsOf, type Told, toldOf } from '#services/credential-store/webhooks/record-events.ts';
import { EVENT_DATA } from '#shared/webhooks/events.ts';
import { issue } from '#test/kit/tls/issue.ts';

/** What is new in a record since webhooks were told of it. */

const NOW = Date.now();
const DAY_MS = 86_400_000;

/** The types of what is new, each with its time, as the record goes from one form to the next. */
function steps(name: string, records: readonly (CredentialRecord | undefined)[], now = NOW): string[][] {
  let told: Told | undefined;
  return records.map((record, n) => {
    const events = eventsOf(told, name, record, { at: n, now });
    for (const { type, data } of events) assert.doesNotThrow(() => EVENT_DATA[type].parse(data), type);
    told = record && toldOf(record, now);
    return events.map(({ type, at }) => `${type} ${at}`);
  });
}

test('each step of a rotation is one event', () => {
  const rotation: Rotation = {
    ...{ id: 'r1', started: 10, by: 'edge-1', from: ['s1'], to: ['s2'], sideBySide: 0, events: [] },
  };
  const of = (more: Partial<Rotation>): CredentialRecord => ({
    ...{ kind: 'domain', domain: 'example.com', keys: [], used: [] },
    rotation: { ...rotation, ...more },
  });
  const frozen = { frozen: { at: 11, by: 'edge-1', reason: 'a freeze' } };
  const switched = { switched: { at: 13, revision: 1 } };
  assert.deepEqual(
    steps('example.com', [
      of({}),
      of({}),
      of(frozen),
      of({}),
      of(switched),
      of({ ...switched, ended: { at: 14, how: 'done' } }),
      of({ id: 'r2', started: 15, ended: { at: 16, how: 'rolled-back' } }),
    ]),
    [
      ['rotation.started 10'],
      [],
      ['rotation.frozen 11'],
      ['rotation.resumed 3'],
      ['rotation.switched 13'],
      ['rotation.completed 14'],
      ['rotation.started 15', 'rotation.rolled_back 16'],
    ],
  );
});

test('a certificate is told of when it is ordered, fails, is there, and is about to end', async () => {
  const of = async (until: number) => (await issue('mx.example.com', { names: ['mx.example.com'], until })).certificate;
  const current = (chain: string, origin: 'acme' | 'import', since: number) => {
    const wrapped = {} as NonNullable<(CredentialRecord & { kind: 'certificate' })['current']>['wrapped'];
    return { current: { chain, wrapped, origin, since, node: 'edge-1' } };
  };
  const certificate = (more: object): CredentialRecord => ({ kind: 'certificate', name: 'mx', ...more });
  const problem = { text: 'no answer', since: 20, at: 20, tries: 1, next: 30 };
  const [long, other, short] = [await of(NOW + 90 * DAY_MS), await of(NOW + 80 * DAY_MS), await of(NOW + DAY_MS)];
  const end = Math.floor((NOW + DAY_MS) / 1000) * 1000;
  assert.deepEqual(
    steps('mx', [
      certificate({ acme: { term: 1, node: 'edge-1' } }),
      certificate({ acme: { term: 1, problem } }),
      certificate({ acme: { term: 2, node: 'edge-2', problem: { ...problem, tries: 2 } } }),
      certificate({ acme: { term: 2 }, ...current(long, 'acme', 40) }),
      certificate({ acme: { term: 2 }, ...current(other, 'import', 50) }),
      certificate({ acme: { term: 2 }, ...current(short, 'acme', 60) }),
      certificate({ acme: { term: 2 }, ...current(short, 'acme', 60) }),
      undefined,
    ]),
    [
      ['certificate.ordered 0'],
      ['certificate.failing 20'],
      ['certificate.ordered 2'],
      ['certificate.renewed 40'],
      ['certificate.imported 50'],
      ['certificate.renewed 60', `certificate.expiring ${end - EXPIRING_MS}`],
      [],
      [],
    ],
  );
});

test('time alone makes a certificate expire, once', async () => {
  const { certificate: chain } = await issue('mx', { names: ['mx.example.com'], until: NOW + 8 * DAY_MS });
  const current = { chain, wrapped: {} as never, origin: 'import' as const, since: 1, node: 'edge-1' };
  const record: CredentialRecord = { kind: 'certificate', name: 'mx', current };
  let told = toldOf(record, NOW);
  assert.deepEqual(eventsOf(told, 'mx', record, { at: 1, now: NOW }), []);
  const later = NOW + 2 * DAY_MS;
  const [event, ...others] = eventsOf(told, 'mx', record, { at: 1, now: later });
  assert.deepEqual([event?.type, event?.domains, others], ['certificate.expiring', ['mx.example.com'], []]);
  told = toldOf(record, later);
  assert.deepEqual(eventsOf(told, 'mx', record, { at: 1, now: later }), []);
});

test('a selector that names another key is another key, and the same change makes the same event anywhere', () => {
  const of = (fingerprint: string): CredentialRecord => ({
    ...{ kind: 'domain', domain: 'example.com' },
    keys: [
      {
        ...{
          selector: 's1',
          state: 'created',
          since: 5,
          algorithm: 'ed25519',
          created: 1,
          fingerprint,
          publicKey: 'p',
        },
        ...{ activate: true, signed: false, publication: { by: 'none' }, ttl: 60 },
      },
    ],
    used: [{ selector: 's1', fingerprint: 'a', deleted: 4 }],
  });
  assert.deepEqual(steps('example.com', [of('a'), of('b')]), [['key.created 5'], ['key.deleted 4', 'key.created 5']]);
  const id = (at: number) => eventsOf(undefined, 'example.com', of('a'), { at, now: at })[0]?.id;
  assert.equal(id(1), id(2));
});
