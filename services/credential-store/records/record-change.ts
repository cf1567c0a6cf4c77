import { SealpostError } from '#shared/errors.ts';
import type { KeyState } from '#shared/keys/key.ts';
import type { DomainRecord, KeyRecord, Rotation } from './domain-record.ts';

/** The parts of every function from record to record. None of them changes its argument. */

/** When (ms since 1970) and on which node a change is made. */
export type At = { now: number; node: string };

/** Events kept of a rotation. */
const EVENTS = 50;
/** States in which there is no private key any more. */
const ERASED: ReadonlySet<KeyState> = new Set(['retired', 'revoked', 'deleted']);

/** The key of a selector. Fails with `not-found`. */
export function keyOf(record: DomainRecord, selector: string): KeyRecord {
  const key = record.keys.find((k) => k.selector === selector);
  if (key !== undefined) return key;
  throw new SealpostError('not-found', `${record.domain} has no key with selector ${selector}`);
}

/** The record with some of its keys changed. */
export function withKeys(
  record: DomainRecord,
  selectors: readonly string[],
  change: (key: KeyRecord) => KeyRecord,
): DomainRecord {
  return { ...record, keys: record.keys.map((key) => (selectors.includes(key.selector) ? change(key) : key)) };
}

/** The key in another state, without what belonged to the old one; from `retired` on without the private key. */
export function enter(key: KeyRecord, state: KeyState, now: number, until?: number): KeyRecord {
  const { until: _until, problem: _problem, wrapped, ...rest } = key;
  return {
    ...rest,
    state,
    since: now,
    signed: key.signed || state === 'active',
    // A retiring key becomes active again only by an order.
    activate: key.activate && state !== 'retiring',
    ...(until === undefined ? {} : { until }),
    ...(wrapped === undefined || ERASED.has(state) ? {} : { wrapped }),
  };
}

export function withoutProblem(key: KeyRecord): KeyRecord {
  const { problem, ...rest } = key;
  return problem === undefined ? key : rest;
}

/** The record with one more event of its rotation. */
export function withEvent(record: DomainRecord, { now, node }: At, text: string): DomainRecord {
  if (record.rotation === undefined) return record;
  const events = [...record.rotation.events, { at: now, node, text }].slice(-EVENTS);
  return { ...record, rotation: { ...record.rotation, events } };
}

/** The same, where one of the keys belongs to the rotation. */
export function withKeyEvent(record: DomainRecord, selectors: readonly string[], at: At, text: string): DomainRecord {
  const { rotation } = record;
  const concerned = selectors.some((s) => rotation?.to.includes(s) || rotation?.from.includes(s));
  return concerned ? withEvent(record, at, text) : record;
}

/** The rotation that has not ended. */
export function runningRotation(record: DomainRecord): Rotation | undefined {
  return record.rotation?.ended === undefined ? record.rotation : undefined;
}

export function wrongState(record: DomainRecord, key: KeyRecord, why: string): SealpostError {
  return new SealpostError('wrong-state', `key ${key.selector} of ${record.domain} is ${key.state}: ${why}`);
}

/** 2026-11-23 04:05 UTC, for people. */
export function timeText(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
