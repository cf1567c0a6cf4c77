import { SealpostError } from '#shared/errors.ts';
import type { Transition, TransitionKind } from '../life/next-transition.ts';
import { startRotation } from '../life/rotation.ts';
import { nextOccurrence } from '../life/schedule.ts';
import {
  activated,
  deleted,
  proven,
  published,
  replaced,
  replicated,
  retired,
  revoked,
  stopped,
  switched,
} from '../life/transitions.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { keyOf, runningRotation, wrongState } from '../records/record-change.ts';
import { begun, settled, standing } from './dns-conditions.ts';
import type { DriverEffects } from './effects.ts';
import { everyNode, lateHolder, live } from './nodes.ts';

/**
 * The conditions of each transition: what it requires of the other nodes and of DNS before it is written. Everything
 * here may be repeated, by this node or another one, and may be interrupted anywhere.
 *
 *   acknowledged   every live store and signer has seen the revision at which the transition became open
 *   usable         every live signer proves that it can sign with the key
 *   seen           every live store sees in DNS what is expected (dns-conditions.ts)
 *
 * A node that does not answer holds the transition up as long as it counts as live.
 */

export type Change = (record: DomainRecord) => DomainRecord;

export type TransitionContext = {
  effects: DriverEffects;
  record: DomainRecord;
  transition: Transition;
  /**
   * Of the store, when this process first found the transition open: the keys have been in their states since then or
   * earlier.
   */
  revision: number;
};

/** How far clocks may differ for transitions that are due at a time. */
const MAX_CLOCK_SKEW_MS = 60_000;

/**
 * Bring about and check the conditions of a transition; resolves to the change that is to be written. Both fail with a
 * reason for the administrator: `waiting`, `late` (a node has yet to see the revision), or the code with which DNS or a
 * node failed. The change also fails with `wrong-state`: the record changed in the meantime.
 */
export async function confirm(context: TransitionContext): Promise<Change> {
  const byClock = context.transition.dueAt !== undefined;
  if (byClock) assertClock(context.effects);
  const change = await CONDITIONS[context.transition.kind](context);
  return (newest) => {
    if (byClock) assertClock(context.effects);
    assertSameKeys(context.record, newest, context.transition.selectors);
    return change(newest);
  };
}

const CONDITIONS: Record<TransitionKind, (context: TransitionContext) => Promise<Change>> = {
  async replicated(context) {
    assertAcknowledged(context);
    await usable(context);
    return acknowledged(context, (record) => replicated(record, first(context), now(context)));
  },

  async published(context) {
    const { effects, record } = context;
    const key = keyOf(record, first(context));
    await begun(effects, record.domain, key);
    return (newest) => published(newest, key.selector, now(context));
  },

  async proven(context) {
    await inDns(context);
    await usable(context);
    return (record) => proven(record, first(context), now(context));
  },

  /** The proof may be old, and the zone may have changed since. */
  async active(context) {
    await inDns(context);
    await usable(context);
    return (record) => activated(record, context.transition.selectors, now(context));
  },

  async switched(context) {
    assertAcknowledged(context);
    await usable(context);
    const { revision } = context;
    return acknowledged(context, (record) => {
      if ((record.rotation?.sideBySide ?? 0) > 0) assertClock(context.effects);
      return switched(record, revision, now(context));
    });
  },

  /** A node that joined after the switch counts too. */
  async replaced(context) {
    return acknowledged(context, (record) => replaced(record, now(context)));
  },

  async stopped(context) {
    const { effects } = context;
    return acknowledged(context, (record) => {
      // Nodes whose clocks are right will rely on the time that is written now.
      assertClock(effects);
      return stopped(record, first(context), { ...now(context), ...effects.timing() });
    });
  },

  async retired(context) {
    return (record) => retired(record, first(context), now(context));
  },

  async revoked(context) {
    const { effects, record } = context;
    const key = keyOf(record, first(context));
    if (key.signed) await settled(effects, record.domain, key, 'revoked');
    return (newest) => {
      if (key.signed) assertClock(effects);
      return revoked(newest, key.selector, { ...now(context), ...effects.timing() });
    };
  },

  async deleted(context) {
    const { effects, record } = context;
    const key = keyOf(record, first(context));
    await settled(effects, record.domain, key, 'absent');
    return (newest) => {
      // Caches count from this time before the selector is used again.
      assertClock(effects);
      return deleted(newest, key.selector, now(context));
    };
  },

  async rotate(context) {
    const { effects, record } = context;
    assertTurn(effects, record);
    const newKeys = await effects.makeKeys(record);
    return (newest) => {
      const { schedule } = newest;
      if (schedule === undefined || schedule.next !== context.transition.dueAt) {
        throw new SealpostError('wrong-state', `the schedule of ${newest.domain} was changed`);
      }
      // Changes are serializable: which other domains are being rotated is known exactly.
      assertTurn(effects, newest);
      const options = { newKeys, sideBySide: 0, by: 'schedule', ...now(context) };
      // A missed rotation is made up for once: the next one is counted from today.
      return {
        ...startRotation(newest, options),
        schedule: { ...schedule, next: nextOccurrence(schedule, effects.now()) },
      };
    };
  },
};

const first = ({ transition }: TransitionContext): string => transition.selectors[0] ?? '';
const now = ({ effects }: TransitionContext) => ({ now: effects.now(), node: effects.node });

/** Every live store sees the records of the transition's keys. */
async function inDns({ effects, record, transition }: TransitionContext): Promise<void> {
  for (const selector of transition.selectors) await standing(effects, record.domain, keyOf(record, selector));
}

/** Fails with `late`. */
function assertAcknowledged({ effects, revision }: TransitionContext): void {
  const late = lateHolder(live(effects), revision);
  if (late === undefined) return;
  const why = late.behind === undefined ? '' : `: ${late.behind}`;
  throw new SealpostError('late', `the ${late.kind} of node ${late.node} has yet to apply the last changes${why}`);
}

/** A change that is written only if every holder that is live then has acknowledged. */
function acknowledged(context: TransitionContext, change: Change): Change {
  return (record) => {
    assertAcknowledged(context);
    return change(record);
  };
}

/** Every live signer can use the keys of the transition. */
async function usable({ effects, record, transition }: TransitionContext): Promise<void> {
  for (const selector of transition.selectors) {
    const key = keyOf(record, selector);
    await everyNode(effects, 'signer', (node) => effects.prove(node, record.domain, key));
  }
}

/** Fails with `waiting` when the clocks of most other nodes differ: that of this node may be wrong by years. */
function assertClock(effects: DriverEffects): void {
  const clocks = new Map([[effects.node, 0]]);
  for (const { node, clock } of live(effects)) if (node !== effects.node) clocks.set(node, clock);
  const apart = [...clocks].filter(([, clock]) => Math.abs(clock) > MAX_CLOCK_SKEW_MS);
  if (apart.length * 2 < clocks.size) return;
  const others = apart.map(([node]) => node).sort();
  throw new SealpostError(
    'waiting',
    `the clock of node ${effects.node} differs by more than a minute from that of ${others.join(', ')}: no transition that is due at a time is made until they are set`,
  );
}

/** One domain after another, unless its schedule says `parallel`. */
function assertTurn(effects: DriverEffects, { domain, schedule }: DomainRecord): void {
  if (schedule?.parallel) return;
  const other = effects.records.all().find((record) => {
    const rotation = runningRotation(record);
    return record.domain !== domain && rotation !== undefined && rotation.switched === undefined;
  });
  if (other === undefined) return;
  throw new SealpostError('waiting', `the scheduled rotation waits until that of ${other.domain} has switched`);
}

/**
 * Fails with `wrong-state`: a key that left its state and came back, or another key under its name, is not the one
 * confirmed.
 */
export function assertSameKeys(before: DomainRecord, newest: DomainRecord, selectors: readonly string[]): void {
  for (const selector of selectors) {
    const [a, b] = [keyOf(before, selector), keyOf(newest, selector)];
    if (a.state === b.state && a.since === b.since && a.fingerprint === b.fingerprint) continue;
    throw wrongState(newest, b, `it was ${a.state} when this transition began`);
  }
}
