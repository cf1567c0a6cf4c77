import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import type { Announced } from '../bus/bus.ts';

/**
 * What every process of a cluster says of itself, whatever services it runs: its names, its state, its services and how
 * it is configured. Names and numbers only, no secret.
 */

/** The life of a process; `membership.ts` says what leads from one to the next. */
export const MemberState = z.enum(['joining', 'up', 'draining', 'gone']);
export type MemberState = z.infer<typeof MemberState>;

/** Entries of a list. */
export const MOST_ENTRIES = 32;
/** Characters of a subject of NATS. */
export const MOST_SUBJECT = 200;
/** Characters of a reason; a longer one is cut. */
export const MOST_REASON = 500;
const word = z.string().max(64);
const words = <V extends z.ZodType>(value: V) =>
  z.record(word, value).refine((all) => Object.keys(all).length <= MOST_ENTRIES, `more than ${MOST_ENTRIES} entries`);

/** What others remember of a process. */
const About = z.object({
  node: word,
  /** Another at each start: tells processes apart that share a node's name, and one run from the next. */
  process: word,
  /** Grows with each change of state, and from one run of a process to the next. */
  epoch: z.number().int(),
  state: MemberState,
  services: z.array(word).max(MOST_ENTRIES),
  /** That of Sealpost. */
  version: word,
  /** Which of its connections to NATS this is, from 1: what was sent to it over an earlier one is lost. */
  connection: z.number().int().optional(),
  /** The newest version of each contract that it knows. */
  contracts: words(z.number().int()),
  /** ms since 1970 by its own clock. */
  started: z.number(),
  /** Why it does not follow its configuration file as that is now; absent where it does. */
  refused: z.string().max(MOST_REASON).optional(),
  /** What NATS does not permit it, though its contracts need it; `ago`: ms since it was last refused. */
  denied: z
    .array(
      z.object({
        operation: z.enum(['publish', 'subscription']),
        subject: z.string().max(MOST_SUBJECT),
        ago: z.number(),
      }),
    )
    .max(MOST_ENTRIES)
    .optional(),
  /** In the state `gone`: why it could not start. */
  failed: z.string().max(MOST_REASON).optional(),
  /** Digests of what its configuration must share with that of the others, by section. */
  config: words(word),
  /** Lines that its log has lost since its start, where it lost some within the last hour. */
  logDropped: z.number().int().optional(),
});

/** `time`: ms since 1970 by its own clock when it was sent. */
export const Heartbeat = About.extend({ time: z.number() });
export type Heartbeat = z.infer<typeof Heartbeat>;

/** A process as another one knows it. Its state is `gone` also when nothing was heard of it for five seconds. */
export const Member = About.extend({
  /** ms since it was last heard, by the clock of the process that answers. */
  heard: z.number(),
  /** Its clock minus that of the process that answers, in ms; the time that the message took is in it. */
  clock: z.number(),
  /** It said itself that it ends. */
  stopped: z.boolean(),
});
export type Member = z.infer<typeof Member>;

/** A counter with one set of values of its labels (shared/metrics.ts). */
const Series = z.object({ name: word, labels: words(z.string()), value: z.number() });

export const memberContract = defineContract('member', 1, {
  operations: {
    /** The processes that this one knows, itself among them. */
    'member-list': {
      request: z.object({}),
      reply: z.object({
        node: z.string(),
        process: z.string(),
        /** For how many ms it has not reached NATS; absent while it does, and where NATS is not used. */
        away: z.number().optional(),
        members: z.array(Member),
      }),
      // Any process knows them: one that hangs must not be waited for.
      repeatable: true,
    },
    /**
     * For the round trip and the difference of clocks: `time` is ms since 1970 by the clock of the process that
     * answers.
     */
    'member-ping': {
      request: z.object({}),
      reply: z.object({ node: z.string(), process: z.string(), time: z.number() }),
    },
    /** What the counters with these names have counted since the start of this process. */
    'counter-list': {
      request: z.object({ names: z.array(word).max(MOST_ENTRIES) }),
      reply: z.object({ node: z.string(), process: z.string(), series: z.array(Series) }),
    },
    /** Forget a node that was taken out for good: those of its processes that are gone. Answers how many those were. */
    'member-forget': {
      request: z.object({ node: word }),
      reply: z.object({ count: z.number().int() }),
      audited: ({ node }: { node: string }) => node,
    },
    /**
     * Take no more work, hand over what others can do, and end. Answered as soon as that has begun. `no-router`: there is
     * no other router to take the queue; the process goes on as before.
     */
    'member-drain': {
      request: z.object({}),
      reply: z.object({}),
      errors: ['no-router'],
      timeout: 30_000,
      audited: () => 'this process',
    },
  },
  events: {
    /** Once a second, and immediately when the state changes. */
    heartbeat: Heartbeat,
  },
});

/** What a bus must know of a process that was heard. */
export function announcedBy({ node, process, services, connection, state }: z.output<typeof About>): Announced {
  return { node, process, services: ['member', ...services], connection, serving: state === 'up' };
}
