import { SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import type { DomainRecord, KeyRecord, Rotation } from '../records/domain-record.ts';
import {
  type At,
  enter,
  keyOf,
  runningRotation,
  timeText,
  withEvent,
  withKeys,
  withoutProblem,
} from '../records/record-change.ts';
import { addKey } from './life-cycle.ts';
import { openTransitions, waitText } from './next-transition.ts';
import { withoutScheduleProblem } from './schedule.ts';

/**
 * A rotation: each key of `from` is replaced by the key of `to` at the same index.
 *
 *   running    the new keys advance to `proven`; when all have, they become active together, beside the old ones
 *   switched   every live signer signs with the new keys; both sign, for `sideBySide` ms
 *   ended      done: the old keys are retiring; or rolled back: they sign alone, the new ones are retired or retiring
 *
 * While it is `frozen` it makes none of these transitions; a revocation continues. A rollback is possible in each state,
 * also when the rotation is done, until the private key of an old key is erased.
 */

/** Fails with `rotation-under-way` while one has not ended. */
export function assertNoRotation(record: DomainRecord): void {
  const rotation = runningRotation(record);
  if (rotation === undefined) return;
  const driver = record.driver === undefined ? '' : `, driven by ${record.driver.node}`;
  throw new SealpostError(
    'rotation-under-way',
    `${record.domain} is being rotated: started by ${rotation.by} on ${timeText(rotation.started)}${driver}; ${waitingFor(record, rotation) ?? 'it continues'}`,
  );
}

/**
 * Start to replace the active keys, or those in `from`, by new ones: `newKeys` in the order of the domain's keys, each
 * of the same algorithm. Fails with `rotation-under-way`, `not-found`, `no-active-key` or `exists`.
 */
export function startRotation(
  record: DomainRecord,
  options: At & { newKeys: readonly KeyRecord[]; from?: readonly string[]; sideBySide: number; by: string },
): DomainRecord {
  const { newKeys, sideBySide, by, now, node } = options;
  assertNoRotation(record);
  const old = replacedKeys(record, options.from);
  if (newKeys.length !== old.length || newKeys.some((key, i) => key.algorithm !== old[i]?.algorithm)) {
    const active = old.map((k) => `${k.selector} (${k.algorithm})`).join(', ');
    throw new SealpostError(
      'no-active-key',
      `the active keys of ${record.domain} changed while new ones were made; now they are ${active}: try again`,
    );
  }
  const from = old.map((k) => k.selector);
  const to = newKeys.map((k) => k.selector);
  const rotation: Rotation = { id: newId(), started: now, by, to, from, sideBySide, events: [] };
  const added = newKeys.reduce(
    (before, key) => addKey(before, record.domain, { ...key, activate: true }),
    withoutScheduleProblem(record),
  );
  const pairs = from.map((s, i) => `${s} is replaced by ${to[i]}`).join(', ');
  return withEvent({ ...added, rotation }, { now, node }, `rotation started: ${pairs}`);
}

function replacedKeys(record: DomainRecord, from: readonly string[] | undefined): KeyRecord[] {
  const active = record.keys.filter((k) => k.state === 'active');
  if (active.length === 0) {
    throw new SealpostError('no-active-key', `${record.domain} has no active key to replace: create one`);
  }
  if (from === undefined) return active;
  for (const selector of from) {
    const { state } = keyOf(record, selector);
    if (state !== 'active') {
      throw new SealpostError(
        'no-active-key',
        `key ${selector} of ${record.domain} is ${state}: only an active key can be replaced`,
      );
    }
  }
  return active.filter((k) => from.includes(k.selector));
}

/** Make no further transition. Fails with `wrong-state` when there is no rotation, or it is frozen or has ended. */
export function freezeRotation(
  record: DomainRecord,
  { by, reason, now }: { by: string; reason: string; now: number },
): DomainRecord {
  const rotation = runningRotation(record);
  if (rotation === undefined) throw wrong(`no rotation of ${record.domain} is in progress`);
  if (rotation.frozen !== undefined)
    throw wrong(`the rotation of ${record.domain} is already ${frozenText(rotation.frozen)}`);
  const told = withEvent(record, { now, node: by }, reason === '' ? 'frozen' : `frozen: ${reason}`);
  return { ...told, rotation: { ...(told.rotation ?? rotation), frozen: { at: now, by, reason } } };
}

/** Continue after `freezeRotation`, and immediately with keys that are stuck at a problem. Fails with `wrong-state`. */
export function resumeDomain(record: DomainRecord, at: At): DomainRecord {
  const rotation = runningRotation(record);
  const stopped = record.keys.filter((k) => k.problem !== undefined).map((k) => k.selector);
  if (rotation?.frozen === undefined && stopped.length === 0) {
    throw wrong(`nothing of ${record.domain} is frozen, and none of its keys is stuck at a problem`);
  }
  const resumed = withKeys(withEvent(record, at, 'resumed'), stopped, withoutProblem);
  return { ...resumed, ...thawed(resumed) };
}

/**
 * Sign with the old keys alone again: new keys that never signed are retired immediately, the others are retiring. Fails
 * with `wrong-state` when the private key of an old key is erased and its new key has signed, or when there is nothing
 * to roll back.
 */
export function rollbackRotation(record: DomainRecord, at: At): DomainRecord {
  const { rotation } = record;
  if (rotation === undefined) throw wrong(`the keys of ${record.domain} were never rotated`);
  if (rotation.ended?.how === 'rolled-back') {
    throw wrong(`the rotation of ${record.domain} was rolled back on ${timeText(rotation.ended.at)}`);
  }
  for (const [i, selector] of rotation.from.entries()) assertReturn(record, selector, rotation.to[i] ?? '');
  const told = withEvent(record, at, `rolled back to ${rotation.from.join(', ')}`);
  const back = withKeys(told, rotation.from, (k) => {
    if (k.state === 'retiring') return enter(k, 'active', at.now);
    return k.state === 'active' ? withoutProblem(k) : k;
  });
  const gone = withKeys(back, rotation.to, (k) => {
    if (k.state === 'active') return enter(k, 'retiring', at.now);
    return k.signed || k.state === 'retired' || k.state === 'revoked' ? k : enter(k, 'retired', at.now);
  });
  const { frozen, ...rest } = gone.rotation ?? rotation;
  return { ...gone, rotation: { ...rest, ended: { at: at.now, how: 'rolled-back' } } };
}

/** An old key can sign again, or its new one does not sign yet and nothing changes without it. */
function assertReturn(record: DomainRecord, old: string, fresh: string): void {
  const key = record.keys.find((k) => k.selector === old);
  if (key?.state === 'active' || key?.state === 'retiring') return;
  const successor = record.keys.find((k) => k.selector === fresh);
  if (successor !== undefined && !successor.signed) return;
  throw wrong(
    `the rotation of ${record.domain} cannot be rolled back: key ${old} is ${key?.state ?? 'deleted'}, its private key is erased; rotate again instead (keys rotate ${record.domain})`,
  );
}

/** The current or last rotation, as people see it; undefined when there never was one. */
export function rotationStatus(record: DomainRecord): RotationStatus | undefined {
  const { rotation, driver, domain } = record;
  if (rotation === undefined) return undefined;
  const { id, started, by, events, from, to } = rotation;
  const waiting = waitingFor(record, rotation);
  const until = sideBySideUntil(rotation);
  return {
    domain,
    id,
    started,
    by,
    state: stateOf(record, rotation),
    to: to.flatMap((selector, i) => partOf(record, selector, from[i])),
    from: from.flatMap((selector, i) => partOf(record, selector, to[i])),
    events,
    ...(driver === undefined ? {} : { driver: driver.node }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(until === undefined ? {} : { sideBySideUntil: until }),
  };
}

/** Until when old and new keys sign side by side; undefined before the switch and after the end. */
function sideBySideUntil({ switched, ended, sideBySide }: Rotation): number | undefined {
  return switched === undefined || ended !== undefined || sideBySide === 0 ? undefined : switched.at + sideBySide;
}

function stateOf(record: DomainRecord, rotation: Rotation): RotationStatus['state'] {
  if (rotation.ended !== undefined) return rotation.ended.how;
  if (rotation.frozen !== undefined) return 'frozen';
  if (problemOf(record, rotation)?.permanent) return 'stopped';
  return 'running';
}

/** Why the rotation does not continue, or what comes next. */
function waitingFor(record: DomainRecord, rotation: Rotation): string | undefined {
  if (rotation.ended !== undefined) return undefined;
  if (rotation.frozen !== undefined) return frozenText(rotation.frozen);
  const problem = problemOf(record, rotation);
  if (problem !== undefined) return problem.text;
  const transition = openTransitions(record).find(
    ({ kind, selectors }) => kind === 'replaced' || selectors.some((s) => rotation.to.includes(s)),
  );
  return transition === undefined ? undefined : waitText(transition);
}

/** A permanent problem of its keys, otherwise any problem. */
function problemOf(record: DomainRecord, rotation: Rotation): KeyRecord['problem'] {
  const concerned = [...rotation.to, ...rotation.from];
  const problems = record.keys.flatMap((k) => (concerned.includes(k.selector) && k.problem ? [k.problem] : []));
  return problems.find((p) => p.permanent) ?? problems[0];
}

function partOf(record: DomainRecord, selector: string, other: string | undefined): RotationStatus['to'] {
  const key = record.keys.find((k) => k.selector === selector);
  if (key !== undefined) return [{ selector, algorithm: key.algorithm, state: key.state }];
  // It is deleted; the other key of the pair has the same algorithm, unless it is deleted too.
  const algorithm = record.keys.find((k) => k.selector === other)?.algorithm;
  return algorithm === undefined ? [] : [{ selector, algorithm, state: 'deleted' }];
}

/** The rotation without its `frozen`, where there is one. */
function thawed(record: DomainRecord): Pick<DomainRecord, 'rotation'> {
  if (record.rotation === undefined) return {};
  const { frozen, ...rotation } = record.rotation;
  return { rotation };
}

function frozenText({ at, by, reason }: NonNullable<Rotation['frozen']>): string {
  return `frozen by ${by} since ${timeText(at)}${reason === '' ? '' : ` (${reason})`}`;
}

function wrong(message: string): SealpostError {
  return new SealpostError('wrong-state', message);
}
