import type { Counts, ProcessTraffic, Traffic } from './facts.ts';

/** What happened between two moments, for each node and for all of them. Pure. */

/** Rates are per second; shares from 0 to 1, undefined where nothing was delivered. */
export type NodeRates = {
  rates: { [Name in keyof Counts]: number };
  signed: number | undefined;
  encrypted: number | undefined;
  queue: { active: number; deferred: number; hold: number };
  sessions: number;
};

export type Rates = { nodes: Map<string, NodeRates>; all: NodeRates };

/**
 * A process that is seen for the first time has counted for nobody knows how long: from now on it is known. What one that is
 * gone counted last is lost.
 */
export function ratesOf(before: Traffic, after: Traffic): Rates {
  const seconds = Math.max(0.001, (after.at - before.at) / 1000);
  const known = new Map(before.processes.map(({ process, counts }) => [process, counts]));
  const changes = after.processes.map((one) => ({ ...one, counts: difference(one.counts, known.get(one.process)) }));
  const names = [...new Set(after.processes.map(({ node }) => node))];
  return {
    nodes: new Map(
      names.map((name) => [
        name,
        summed(
          changes.filter(({ node }) => node === name),
          seconds,
        ),
      ]),
    ),
    all: summed(changes, seconds),
  };
}

const NAMES = [
  ...(['accepted', 'refused', 'putOff', 'delivered', 'deferred', 'failed'] as const),
  ...(['signed', 'sent', 'encrypted'] as const),
] satisfies (keyof Counts)[];

function each(value: (name: keyof Counts) => number): Counts {
  return Object.fromEntries(NAMES.map((name) => [name, value(name)])) as Counts;
}

function difference(now: Counts, before: Counts = now): Counts {
  return each((name) => now[name] - before[name]);
}

/** The later moment, with what was known of processes that are silent just now: what they counted meanwhile is not lost. */
export function remember(before: Traffic, after: Traffic): Traffic {
  const answered = new Set(after.processes.map(({ process }) => process));
  return {
    ...after,
    processes: [...after.processes, ...before.processes.filter(({ process }) => !answered.has(process))],
  };
}

function summed(processes: readonly ProcessTraffic[], seconds: number): NodeRates {
  const sum = (value: (one: ProcessTraffic) => number): number => processes.reduce((all, one) => all + value(one), 0);
  const total = each((name) => sum(({ counts }) => counts[name]));
  return {
    rates: each((name) => total[name] / seconds),
    signed: total.delivered === 0 ? undefined : total.signed / total.delivered,
    encrypted: total.sent === 0 ? undefined : total.encrypted / total.sent,
    queue: {
      active: sum(({ queue }) => queue?.active ?? 0),
      deferred: sum(({ queue }) => queue?.deferred ?? 0),
      hold: sum(({ queue }) => queue?.hold ?? 0),
    },
    sessions: sum(({ sessions = 0 }) => sessions),
  };
}
