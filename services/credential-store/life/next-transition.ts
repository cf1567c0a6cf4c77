import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import { runningRotation, timeText } from '../records/record-change.ts';

/**
 * Which transitions a domain's record asks for. A transition is named after the state to which it leads
 * (`transitions.ts`), except these: `switched` and `replaced` are those of the rotation, `stopped` gives a retiring key
 * its time, `rotate` is the scheduled rotation.
 *
 * Several may be open concurrently, and one that waits (for DNS, for an administrator) does not hold up another one. They
 * are in the order of their urgency: revocation first, then what leads to signing, then what cleans up.
 */

const ORDER = [
  'revoked',
  'replicated',
  'published',
  'proven',
  'active',
  'switched',
  'replaced',
  'stopped',
  'retired',
  'deleted',
  'rotate',
] as const;

export type TransitionKind = (typeof ORDER)[number];

export type Transition = {
  kind: TransitionKind;
  /** Its keys; a problem is recorded in them. */
  selectors: string[];
  /** Not before this time, ms since 1970; absent where it does not depend on time. */
  dueAt?: number;
};

/** Every open transition, also those that are not due yet, and those whose keys are stuck at a problem. */
export function openTransitions(record: DomainRecord): Transition[] {
  const transitions = [
    ...record.keys.flatMap((key) => transitionOf(record, key)),
    ...rotationTransition(record),
    ...scheduledTransition(record),
  ];
  return transitions.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

/** The first transition that is due, of those that `ready` accepts. */
export function nextTransition(
  record: DomainRecord,
  now: number,
  ready: (transition: Transition) => boolean = () => true,
): Transition | undefined {
  return openTransitions(record).find((transition) => (transition.dueAt ?? now) <= now && ready(transition));
}

/** What a transition waits for, as the end of a sentence. */
export function waitText({ kind, selectors, dueAt }: Transition): string {
  const keys = selectors.join(', ');
  const time = dueAt === undefined ? '' : ` from ${timeText(dueAt)} on`;
  return `${keys}: ${WAITS[kind]}${time}`;
}

const WAITS: Record<TransitionKind, string> = {
  replicated: 'every node must prove that it can use the key',
  published: 'its record must be written to DNS',
  proven: 'every name server must return its record',
  active: 'signing must begin',
  switched: 'every node must sign with it',
  replaced: 'signing with the old key must end',
  stopped: 'every node must stop signing with it',
  retired: 'the private key must be erased',
  revoked: 'every name server must return the revoked record (empty p=)',
  deleted: 'the record must be removed from DNS',
  rotate: 'the schedule replaces it',
};

function transitionOf(record: DomainRecord, key: KeyRecord): Transition[] {
  const rotation = runningRotation(record);
  const isNew = rotation?.to.includes(key.selector) ?? false;
  const open = (kind: TransitionKind, dueAt?: number): Transition[] => [
    { kind, selectors: [key.selector], ...(dueAt === undefined ? {} : { dueAt }) },
  ];
  if (isNew && rotation?.frozen !== undefined) return [];
  switch (key.state) {
    case 'created':
      return open('replicated');
    case 'replicated':
      return open('published');
    case 'published':
      return open('proven');
    case 'proven':
      return key.activate && !isNew ? open('active', cachedUntil(record, key)) : [];
    case 'active':
      return [];
    case 'retiring':
      if (key.activate) return open('active');
      return key.until === undefined ? open('stopped') : open('retired', key.until);
    case 'retired':
      return open('revoked');
    case 'revoked':
      return open('deleted', key.until);
    case 'deleted':
      return [];
  }
}

/** The next transition of the rotation as a whole: its new keys become active together, and the old ones retire together. */
function rotationTransition(record: DomainRecord): Transition[] {
  const rotation = runningRotation(record);
  if (rotation === undefined || rotation.frozen !== undefined) return [];
  const to = record.keys.filter((k) => rotation.to.includes(k.selector));
  const names = (keys: KeyRecord[]): string[] => keys.map((k) => k.selector);
  const waiting = to.filter((k) => k.state !== 'active');
  if (waiting.some((k) => k.state !== 'proven')) return [];
  if (waiting.length > 0) {
    const times = waiting.flatMap((k) => cachedUntil(record, k) ?? []);
    return [
      { kind: 'active', selectors: names(waiting), ...(times.length === 0 ? {} : { dueAt: Math.max(...times) }) },
    ];
  }
  if (rotation.switched === undefined) return [{ kind: 'switched', selectors: names(to) }];
  const selectors = names(record.keys.filter((k) => rotation.from.includes(k.selector) && k.state === 'active'));
  const { sideBySide } = rotation;
  // Without an old key nothing signs side by side.
  const dueAt = sideBySide > 0 && selectors.length > 0 ? { dueAt: rotation.switched.at + sideBySide } : {};
  return [{ kind: 'replaced', selectors, ...dueAt }];
}

/** Until when resolvers may cache the last record of a selector that is used again. */
function cachedUntil(record: DomainRecord, key: KeyRecord): number | undefined {
  const used = record.used.find((u) => u.selector === key.selector);
  return used === undefined ? undefined : used.deleted + key.ttl * 1000;
}

function scheduledTransition(record: DomainRecord): Transition[] {
  const { schedule } = record;
  if (schedule === undefined || runningRotation(record) !== undefined) return [];
  const selectors = record.keys.filter((k) => k.state === 'active').map((k) => k.selector);
  return selectors.length === 0 ? [] : [{ kind: 'rotate', selectors, dueAt: schedule.next }];
}
