import { z } from 'zod';

/** What the overview shows. Times are ms since 1970, rates per second, shares from 0 to 1. */

const Queue = z.object({ active: z.number(), deferred: z.number(), hold: z.number() });

/**
 * Messages at the door (accepted, refused, put off), recipients afterwards (delivered, deferred, failed). `sent`: those delivered
 * to another machine.
 */
const Rates = z.object({
  accepted: z.number(),
  refused: z.number(),
  putOff: z.number(),
  delivered: z.number(),
  sent: z.number(),
  deferred: z.number(),
  failed: z.number(),
});

/** `signed` of what was delivered, `encrypted` of what was sent: absent where nothing was. */
const Flow = z.object({
  rates: Rates,
  signed: z.number().optional(),
  encrypted: z.number().optional(),
  queue: Queue,
  sessions: z.number(),
});

/**
 * `silent`: not heard for some seconds, or it does not answer; `gone`: for longer; `stopped`: it said that it ends;
 * `unknown`: this console does not reach NATS, so that it hears nobody.
 */
export const ProcessState = z.enum(['joining', 'up', 'draining', 'silent', 'gone', 'stopped', 'unknown']);
export type ProcessState = z.infer<typeof ProcessState>;

const Process = z.object({
  process: z.string(),
  services: z.array(z.string()),
  version: z.string(),
  state: ProcessState,
  /** When it was last heard, by the clock of this console. */
  heard: z.number(),
  started: z.number(),
  /** Why it does not answer. */
  trouble: z.string().optional(),
});

/** `partly`: some of its processes are silent or gone, others are up. */
const Node = z.object({
  name: z.string(),
  state: z.enum([...ProcessState.options, 'partly']),
  processes: z.array(Process),
  /** Absent until two moments are known. */
  flow: Flow.optional(),
});

export const Alarm = z.object({
  severity: z.enum(['error', 'warning', 'note']),
  /** The node, key or domain that it is about. */
  about: z.string(),
  /** What is wrong, and what to do: clauses without their full stops. */
  text: z.string(),
  help: z.string(),
  /** Name of the check, which programs may rely on. */
  check: z.string(),
});
export type Alarm = z.infer<typeof Alarm>;

/** Mail at this moment. */
export const Overview = z.object({
  at: z.number(),
  /** The node whose console this is. */
  node: z.string(),
  /** For how many ms it has not reached NATS; absent while it does. */
  away: z.number().optional(),
  nodes: z.array(Node),
  total: Flow.optional(),
  /** What needs a hand, the worst first. */
  alarms: z.array(Alarm),
  /** When the cluster was last examined; absent until that has been done. */
  examined: z.number().optional(),
});
export type Overview = z.infer<typeof Overview>;

/** The last minutes, a row for each moment; `null`: nothing is known of it, or nothing was delivered. */
const Column = z.array(z.number().nullable());
export const History = z.object({
  at: z.array(z.number()),
  accepted: Column,
  refused: Column,
  putOff: Column,
  delivered: Column,
  sent: Column,
  deferred: Column,
  failed: Column,
  signed: Column,
  encrypted: Column,
});
export type History = z.infer<typeof History>;

export const OverviewReply = z.object({ now: Overview, history: History });
export type OverviewReply = z.infer<typeof OverviewReply>;
