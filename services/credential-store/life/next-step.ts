import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import { runningRotation, timeText } from '../records/record-change.ts';

/**
 * Which steps are to be made in a domain: what follows from its record alone. A step is named by the state that it
 * leads to (`steps.ts`), but for these: `switched` and `replaced` are those of the rotation, `stopped` gives a retiring
 * key its time, `rotate` is the scheduled rotation.
 *
 * Several may be open at once, and one that waits (for DNS, for an administrator) holds up no other one. They come in
 * the order of their urgency: revocation first, then what leads to signing, then what cleans up.
 */

export type StepKind =
  | 'revoked'
  | 'replicated'
  | 'published'
  | 'proven'
  | 'active'
  | 'switched'
  | 'replaced'
  | 'stopped'
  | 'retired'
  | 'deleted'
  | 'rotate';

export type Step = {
  kind: StepKind;
  /** The keys that it is about; a problem is noted at them. */
  selectors: string[];
  /** ms since 1970, not before; absent where it is no matter of time. */
  dueAt?: number;
};

const ORDER: readonly StepKind[] = [
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
];

/** Every step that is open, also those whose time has not come. Keys with a permanent problem take none. */
export function openSteps(record: DomainRecord): Step[] {
  const steps = [
    ...record.keys.flatMap((key) => stepOf(record, key)),
    ...rotationStep(record),
    ...scheduledStep(record),
  ];
  const stuck = new Set(record.keys.flatMap((k) => (k.problem?.permanent ? [k.selector] : [])));
  return steps
    .filter((step) => step.kind === 'rotate' || !step.selectors.some((s) => stuck.has(s)))
    .sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

/** The first step whose time has come, of those that `ready` lets pass. */
export function nextStep(
  record: DomainRecord,
  now: number,
  ready: (step: Step) => boolean = () => true,
): Step | undefined {
  return openSteps(record).find((step) => (step.dueAt ?? now) <= now && ready(step));
}

/** What a step waits for, as the end of a sentence. */
export function waitText({ kind, selectors, dueAt }: Step): string {
  const keys = selectors.join(', ');
  const time = dueAt === undefined ? '' : ` from ${timeText(dueAt)} on`;
  return `${keys}: ${WAITS[kind]}${time}`;
}

const WAITS: Record<StepKind, string> = {
  replicated: 'every node is to prove that it can use the key',
  published: 'its record is to be written into DNS',
  proven: 'every name server is to return its record',
  active: 'signing is to begin',
  switched: 'every node is to sign with it',
  replaced: 'signing with the old key is to end',
  stopped: 'every node is to stop signing with it',
  retired: 'the private key is to be erased',
  revoked: 'every name server is to return the revoked record (empty p=)',
  deleted: 'the record is to be removed from DNS',
  rotate: 'to be replaced by schedule',
};

function stepOf(record: DomainRecord, key: KeyRecord): Step[] {
  const rotation = runningRotation(record);
  const isNew = rotation?.to.includes(key.selector) ?? false;
  const step = (kind: StepKind, dueAt?: number): Step[] => [
    { kind, selectors: [key.selector], ...(dueAt === undefined ? {} : { dueAt }) },
  ];
  if (isNew && rotation?.frozen !== undefined) return [];
  switch (key.state) {
    case 'created':
      return step('replicated');
    case 'replicated':
      return step('published');
    case 'published':
      return step('proven');
    case 'proven':
      return key.activate && !isNew ? step('active', rememberedUntil(record, key)) : [];
    case 'active':
      return [];
    case 'retiring':
      if (key.activate) return step('active');
      return key.until === undefined ? step('stopped') : step('retired', key.until);
    case 'retired':
      return step('revoked');
    case 'revoked':
      return step('deleted', key.until);
    case 'deleted':
      return [];
  }
}

/** The next step of the rotation as a whole: its new keys become active together, and the old ones retire together. */
function rotationStep(record: DomainRecord): Step[] {
  const rotation = runningRotation(record);
  if (rotation === undefined || rotation.frozen !== undefined) return [];
  const to = record.keys.filter((k) => rotation.to.includes(k.selector));
  const names = (keys: KeyRecord[]): string[] => keys.map((k) => k.selector);
  const waiting = to.filter((k) => k.state !== 'active');
  if (waiting.some((k) => k.state !== 'proven')) return [];
  if (waiting.length > 0) {
    const times = waiting.flatMap((k) => rememberedUntil(record, k) ?? []);
    return [
      { kind: 'active', selectors: names(waiting), ...(times.length === 0 ? {} : { dueAt: Math.max(...times) }) },
    ];
  }
  if (rotation.switched === undefined) return [{ kind: 'switched', selectors: names(to) }];
  const selectors = names(record.keys.filter((k) => rotation.from.includes(k.selector) && k.state === 'active'));
  const { sideBySide } = rotation;
  // Side by side only while there are two sides.
  const dueAt = sideBySide > 0 && selectors.length > 0 ? { dueAt: rotation.switched.at + sideBySide } : {};
  return [{ kind: 'replaced', selectors, ...dueAt }];
}

/** Resolvers may remember the last record of a selector that is used again, for the time to live. */
function rememberedUntil(record: DomainRecord, key: KeyRecord): number | undefined {
  const used = record.used.find((u) => u.selector === key.selector);
  return used === undefined ? undefined : used.deleted + key.ttl * 1000;
}

function scheduledStep(record: DomainRecord): Step[] {
  const { schedule } = record;
  if (schedule === undefined || runningRotation(record) !== undefined) return [];
  const selectors = record.keys.filter((k) => k.state === 'active').map((k) => k.selector);
  return selectors.length === 0 ? [] : [{ kind: 'rotate', selectors, dueAt: schedule.next }];
}
