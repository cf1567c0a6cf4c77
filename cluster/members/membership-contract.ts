import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';

/**
 * What every process of a cluster says of itself, whatever services it runs: who it is, how far it is in its life, what
 * it runs and what it was told. Names and numbers only, no secret.
 */

/** The life of a process; `membership.ts` says what leads from one to the next. */
export const MemberState = z.enum(['joining', 'up', 'draining', 'gone']);
export type MemberState = z.infer<typeof MemberState>;

const MOST_ENTRIES = 32;
const word = z.string().max(64);
const words = <V extends z.ZodType>(value: V) =>
  z.record(word, value).refine((all) => Object.keys(all).length <= MOST_ENTRIES, `more than ${MOST_ENTRIES} entries`);

/** What others keep of a process. */
const About = z.object({
  node: word,
  /** Made anew at each start: tells processes apart that share a node's name, and one run from the next. */
  process: word,
  /** Grows with each state of a process, and from each of its runs to the next. */
  epoch: z.number().int(),
  state: MemberState,
  services: z.array(word).max(MOST_ENTRIES),
  /** Of Sealpost. */
  version: word,
  /** The newest version of each contract that it knows. */
  contracts: words(z.number().int()),
  /** ms since 1970 by its own clock. */
  started: z.number(),
  /** Digests of what its configuration must have in common with that of the others, by section. */
  config: words(word),
});

/** `time`: ms since 1970 by its own clock as it was sent. */
export const Heartbeat = About.extend({ time: z.number() });
export type Heartbeat = z.infer<typeof Heartbeat>;

/** A process as another one knows it. Its state is `gone` also when nothing was heard of it for some seconds. */
export const Member = About.extend({
  /** ms since it was last heard, by the clock of who answers. */
  heard: z.number(),
  /** Its clock minus that of who answers in ms; what the message took on its way is in it. */
  clock: z.number(),
  /** It said itself that it ends. */
  stopped: z.boolean(),
});
export type Member = z.infer<typeof Member>;

export const memberContract = defineContract('member', 1, {
  operations: {
    /** Whom this process knows, itself among them. */
    'member-list': {
      request: z.object({}),
      reply: z.object({
        node: z.string(),
        process: z.string(),
        /** For how many ms it has not reached NATS; absent while it does, and where there is none. */
        away: z.number().optional(),
        members: z.array(Member),
      }),
    },
    /** For the round trip and the difference of clocks: `time` is ms since 1970 by the clock of who answers. */
    'member-ping': {
      request: z.object({}),
      reply: z.object({ node: z.string(), process: z.string(), time: z.number() }),
    },
    /**
     * Take no more work, hand over what others can do, and end. Answered as soon as that has begun. `no-router`: nobody
     * is there to take the queue; the process goes on as before.
     */
    'member-drain': { request: z.object({}), reply: z.object({}), errors: ['no-router'], timeout: 30_000 },
  },
  events: {
    /** Once a second, and at once when the state changes. */
    heartbeat: Heartbeat,
  },
});
