import { z } from 'zod';

/** How the lines of a transcript (transcripts.ts) cross the bus. */

/** By its address, a network that it is in, or a domain that its name is in: from PTR, EHLO or MX. */
const Peer = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\s\x00-\x1f\x7f]+$/, 'expected an address, a network or a domain');

const TranscriptLine = z.object({
  /** ms since 1970. */
  at: z.number(),
  /** As in the log, of a session that a client opened. */
  session: z.string(),
  /** The other side, as far as it is known. */
  peer: z.string(),
  /** Which side says it; `note`: neither, it is what happened. */
  by: z.enum(['client', 'server', 'note']),
  text: z.string(),
});
export type TranscriptLine = z.infer<typeof TranscriptLine>;

/** Of each service with sessions: the lines of a watch after the one that was read last, and the number of their last. */
export const transcriptRead = {
  request: z.object({
    /** Names the watch: another one for each command. */
    watch: z.string().min(1).max(64),
    peer: Peer,
    after: z.number().int().nonnegative(),
    /** The command ends: nothing more is kept. */
    end: z.boolean().optional(),
  }),
  reply: z.object({
    lines: z.array(TranscriptLine),
    last: z.number().int().nonnegative(),
    /** How many lines were not kept since the watch began. */
    lost: z.number().int().nonnegative(),
  }),
  errors: ['too-many-transcripts'],
} as const;
export type TranscriptRead = z.infer<typeof transcriptRead.request>;
export type TranscriptPage = z.infer<typeof transcriptRead.reply>;
