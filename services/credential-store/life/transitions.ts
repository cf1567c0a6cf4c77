import { SealpostError } from '#shared/errors.ts';
import type { KeyState } from '#shared/keys/key.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import {
  type At,
  enter,
  keyOf,
  runningRotation,
  withEvent,
  withKeyEvent,
  withKeys,
  withoutProblem,
  wrongState,
} from '../records/record-change.ts';

/**
 * The transitions that a driver makes after it has confirmed their conditions, as functions from record to record. Each
 * checks the state from which it starts and fails with `wrong-state`: the newest record may differ from the one confirmed.
 */

/** Drive the domain from now on. The driver before writes nothing more, because its term is old. */
export function claim(record: DomainRecord, node: string): DomainRecord {
  return { ...record, driver: { node, term: (record.driver?.term ?? 0) + 1 } };
}

/** Every live signer can use the key. */
export function replicated(record: DomainRecord, selector: string, at: At): DomainRecord {
  return advance(record, selector, { from: 'created', to: 'replicated' }, at);
}

/** The TXT record of the key is written, or has appeared. */
export function published(record: DomainRecord, selector: string, at: At): DomainRecord {
  return advance(record, selector, { from: 'replicated', to: 'published' }, at);
}

/** Every authoritative server returns the record. */
export function proven(record: DomainRecord, selector: string, at: At): DomainRecord {
  return advance(record, selector, { from: 'published', to: 'proven' }, at);
}

/** Sign with these keys from now on: the new keys of a rotation all together. */
export function activated(record: DomainRecord, selectors: readonly string[], at: At): DomainRecord {
  for (const selector of selectors) {
    const key = keyOf(record, selector);
    if (key.state !== 'retiring' || !key.activate) assertState(record, key, 'proven');
  }
  assertNotFrozen(record, selectors);
  return enterAll(record, selectors, { to: 'active' }, at);
}

/** Every live signer signs with the new keys of the rotation; `revision` is that of the store. */
export function switched(record: DomainRecord, revision: number, at: At): DomainRecord {
  const rotation = runningRotation(record);
  if (rotation === undefined || rotation.switched !== undefined) throw noSuchTransition(record);
  assertNotFrozen(record, rotation.to);
  for (const selector of rotation.to) assertState(record, keyOf(record, selector), 'active');
  const told = withEvent(record, at, `every node signs with ${rotation.to.join(', ')}`);
  const clear = withKeys(told, rotation.to, withoutProblem);
  return { ...clear, rotation: { ...(clear.rotation ?? rotation), switched: { at: at.now, revision } } };
}

/** The old keys of the rotation stop signing, which ends it. */
export function replaced(record: DomainRecord, at: At): DomainRecord {
  const rotation = runningRotation(record);
  if (rotation?.switched === undefined) throw noSuchTransition(record);
  assertNotFrozen(record, rotation.to);
  for (const selector of rotation.to) assertState(record, keyOf(record, selector), 'active');
  const old = rotation.from.filter((s) => record.keys.some((k) => k.selector === s && k.state === 'active'));
  const text = old.length === 0 ? 'done' : `done: ${old.join(', ')} ${areOrIs(old)} retiring`;
  const retiring = withKeys(withEvent(record, at, text), old, (k) => enter(k, 'retiring', at.now));
  const clear = withKeys(retiring, rotation.to, withoutProblem);
  return { ...clear, rotation: { ...(clear.rotation ?? rotation), ended: { at: at.now, how: 'done' } } };
}

/** No live signer signs with a retiring key any more: its record stays for `retireAfterMs` from now on. */
export function stopped(record: DomainRecord, selector: string, at: At & { retireAfterMs: number }): DomainRecord {
  const key = keyOf(record, selector);
  assertState(record, key, 'retiring');
  if (key.until !== undefined) throw wrongState(record, key, 'its time is already running');
  const told = withKeyEvent(record, [selector], at, `no node signs with ${selector} any more`);
  return withKeys(told, [selector], (k) => ({ ...withoutProblem(k), until: at.now + at.retireAfterMs }));
}

/** The mail that the key signed has left: the private key is erased. */
export function retired(record: DomainRecord, selector: string, at: At): DomainRecord {
  const key = keyOf(record, selector);
  assertState(record, key, 'retiring');
  if (key.until === undefined || key.until > at.now || key.activate) {
    throw wrongState(record, key, 'it is too early to retire it');
  }
  return advance(record, selector, { from: 'retiring', to: 'retired' }, at);
}

/** Every server returns the revoked record, or the key never signed. The record stays for `keepRevokedMs`. */
export function revoked(record: DomainRecord, selector: string, at: At & { keepRevokedMs: number }): DomainRecord {
  const until = keyOf(record, selector).signed ? at.now + at.keepRevokedMs : undefined;
  return advance(record, selector, { from: 'retired', to: 'revoked', until }, at);
}

/** No server has the record any more. */
export function deleted(record: DomainRecord, selector: string, at: At): DomainRecord {
  const key = keyOf(record, selector);
  assertState(record, key, 'revoked');
  if (key.until !== undefined && key.until > at.now) throw wrongState(record, key, 'it is too early to delete it');
  const { fingerprint } = key;
  const told = withKeyEvent(record, [selector], at, `${selector} is deleted`);
  return {
    ...told,
    keys: told.keys.filter((k) => k.selector !== selector),
    used: [...told.used.filter((u) => u.selector !== selector), { selector, fingerprint, deleted: at.now }],
  };
}

/** Record why some keys do not advance; the record itself where that is known. `permanent`: it needs a person. */
export function noteProblem(
  record: DomainRecord,
  selectors: readonly string[],
  { text, permanent, ...at }: At & { text: string; permanent: boolean },
): DomainRecord {
  const news = record.keys.filter(
    ({ selector, problem }) =>
      selectors.includes(selector) && (problem?.text !== text || problem.permanent !== permanent),
  );
  if (news.length === 0) return record;
  const noted = withKeys(
    record,
    news.map((k) => k.selector),
    (k) => ({ ...k, problem: { text, since: at.now, permanent } }),
  );
  return permanent ? withKeyEvent(noted, selectors, at, `${selectors.join(', ')} stuck: ${text}`) : noted;
}

/** `until`: the time that belongs to the new state, where it has one. */
type Entry = { to: KeyState; until?: number | undefined };

function advance(record: DomainRecord, selector: string, entry: Entry & { from: KeyState }, at: At): DomainRecord {
  const { from } = entry;
  assertState(record, keyOf(record, selector), from);
  if (from !== 'retiring' && from !== 'retired') assertNotFrozen(record, [selector]);
  return enterAll(record, [selector], entry, at);
}

function enterAll(record: DomainRecord, selectors: readonly string[], { to, until }: Entry, at: At): DomainRecord {
  const told = withKeyEvent(record, selectors, at, `${selectors.join(', ')} ${areOrIs(selectors)} ${to}`);
  return withKeys(told, selectors, (k) => enter(k, to, at.now, until));
}

function assertState(record: DomainRecord, key: KeyRecord, state: KeyState): void {
  if (key.state !== state) throw wrongState(record, key, `this transition starts from ${state}`);
}

/** An administrator may have frozen the rotation since the transition began. */
function assertNotFrozen(record: DomainRecord, selectors: readonly string[]): void {
  const rotation = runningRotation(record);
  if (rotation?.frozen === undefined || !selectors.some((s) => rotation.to.includes(s))) return;
  throw new SealpostError('wrong-state', `the rotation of ${record.domain} is frozen`);
}

function noSuchTransition(record: DomainRecord): SealpostError {
  return new SealpostError('wrong-state', `no rotation of ${record.domain} is ready for this transition`);
}

const areOrIs = (list: readonly string[]): string => (list.length > 1 ? 'are' : 'is');
