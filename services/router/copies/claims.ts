import { z } from 'zod';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';

/**
 * Which router may deliver which mail, as all routers see it: two kinds of record in one replicated map. (A third kind tells
 * which router sends reports: sent-reports/daily/runs.ts.) They name the stores of queues, not nodes: a store has a name for as long as
 * its disk exists. A node whose disk was lost and that starts with an empty one has another store, and an old disk that
 * comes back is recognised.
 *
 *   lease.<store>             the store is served: `beat` grows with each renewal
 *   pair.<owner>.<holder>     the mail of one store, the owner, that has its second copy in another, the holder
 *
 * A pair has a generation, which each copy carries, and is
 *
 *   open      the owner delivers, and sends copies to the holder. Left when the holder takes over (→ claimed, after the
 *             owner's lease ran out), when the owner hands over (→ claimed, at a drain), or when the owner gives up the
 *             holder because it is silent (→ closed, in the next generation).
 *   closed    every copy of earlier generations is void, the holder deletes it. Left when the holder is live (→ open).
 *   claimed   all mail of this generation is the holder's. `adopted`: the holder has it in its queue; until then the
 *             owner keeps what it has, and takes it back (→ closed) when the holder falls silent. `dropped`: the owner
 *             has deleted it, after the holder itself said that it has it (overtaken.ts), or says that it has nothing
 *             (→ closed). When both are true the owner may open the next generation.
 *
 * Changes of the map are serializable (`cluster/replicated/map.ts`): a holder that claims has seen every renewal
 * before its claim, and an owner that has renewed its lease has seen every claim before that.
 */

const Lease = z.object({
  kind: z.literal('lease'),
  node: z.string(),
  beat: z.number().int().nonnegative(),
  /** ms of silence after which others may take over. */
  after: z.number().positive(),
  /** `stopped`: its process ended in good order, it takes no copies. `drained`: it has handed its queue over too. */
  state: z.enum(['serving', 'stopped', 'drained']),
});
export type Lease = z.infer<typeof Lease>;

const Pair = z.object({
  kind: z.literal('pair'),
  generation: z.number().int().positive(),
  state: z.enum(['open', 'closed', 'claimed']),
  adopted: z.boolean(),
  dropped: z.boolean(),
});
export type Pair = z.infer<typeof Pair>;

/** Which router sends the reports of the cluster, and how far it is: sent-reports/daily/runs.ts. */
const ReportRuns = z.object({
  kind: z.literal('reports'),
  /** Newest first. */
  epochs: z
    .array(
      z.object({
        epoch: z.number().int().positive(),
        store: z.string(),
        node: z.string(),
        day: z.string(),
        through: z.string(),
        left: z.array(z.string()),
        without: z.array(z.object({ store: z.string(), from: z.string() })),
      }),
    )
    .min(1),
});
export type ReportRuns = z.infer<typeof ReportRuns>;

export const ClaimRecord = z.discriminatedUnion('kind', [Lease, Pair, ReportRuns]);
export type ClaimRecord = z.infer<typeof ClaimRecord>;

export const REPORTS_KEY = 'reports';
export const TLS_REPORTS_KEY = 'tls-reports';
export const leaseKey = (store: string): string => `lease.${store}`;
export const pairKey = (owner: string, holder: string): string => `pair.${owner}.${holder}`;

/** What a key names: the store of a lease, or the two stores of a pair. */
export function parseKey(key: string): { lease: string } | { owner: string; holder: string } | undefined {
  const [kind, first, second] = key.split('.');
  if (first === undefined) return undefined;
  if (kind === 'lease') return { lease: first };
  return kind === 'pair' && second !== undefined ? { owner: first, holder: second } : undefined;
}

export function asLease(record: ClaimRecord | undefined): Lease | undefined {
  return record?.kind === 'lease' ? record : undefined;
}

export function asPair(record: ClaimRecord | undefined): Pair | undefined {
  return record?.kind === 'pair' ? record : undefined;
}

export function asReportRuns(record: ClaimRecord | undefined): ReportRuns | undefined {
  return record?.kind === 'reports' ? record : undefined;
}

const opened = (generation: number): Pair => ({
  kind: 'pair',
  generation,
  state: 'open',
  adopted: false,
  dropped: false,
});

/**
 * The transitions. Each returns the new record, or the same object where it does not apply, which changes nothing.
 */

/** By the owner: begin, or begin again when the last take-over is complete. */
export function open(pair: Pair | undefined): Pair {
  if (pair === undefined) return opened(1);
  if (pair.state === 'closed') return { ...pair, state: 'open' };
  return pair.state === 'claimed' && pair.adopted && pair.dropped ? opened(pair.generation + 1) : pair;
}

/** By the owner: give up a holder that does not have the mail in its queue. */
export function giveUp(pair: Pair | undefined): Pair | undefined {
  return pair?.state === 'open' || (pair?.state === 'claimed' && !pair.adopted)
    ? { ...opened(pair.generation + 1), state: 'closed' }
    : pair;
}

/** By the holder, or by the owner at a drain: from now on the mail is the holder's. */
export function claim(pair: Pair | undefined): Pair | undefined {
  return pair?.state === 'open' ? { ...pair, state: 'claimed' } : pair;
}

/** By the holder: the mail of this generation is in its queue. */
export function adopted(pair: Pair | undefined, generation: number): Pair | undefined {
  return pair?.state === 'claimed' && pair.generation === generation && !pair.adopted
    ? { ...pair, adopted: true }
    : pair;
}

/** By the owner: the mail of this generation has been deleted from its queue. */
export function dropped(pair: Pair | undefined, generation: number): Pair | undefined {
  return pair?.state === 'claimed' && pair.generation === generation && !pair.dropped
    ? { ...pair, dropped: true }
    : pair;
}

/** By the owner: the holder says that it has nothing of this generation, whatever the pair says. */
export function disowned(pair: Pair | undefined, generation: number): Pair | undefined {
  return pair?.state === 'claimed' && pair.generation === generation
    ? { ...opened(generation + 1), state: 'closed' }
    : pair;
}

/** Whether a generation of a pair takes no more copies. */
export function hasEnded(pair: Pair | undefined, generation: number): boolean {
  if (pair === undefined || pair.generation < generation) return false;
  return pair.generation > generation || pair.state === 'claimed';
}

/** Make a transition of a pair. Rejects as `ReplicatedMap.update` does. */
export async function changePair(
  map: ReplicatedMap<ClaimRecord>,
  key: string,
  transition: (pair: Pair | undefined) => Pair | undefined,
): Promise<void> {
  await map.update(key, (record) => {
    const before = asPair(record);
    const after = transition(before);
    return after === before ? record : after;
  });
}
