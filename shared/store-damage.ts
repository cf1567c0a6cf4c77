import { z } from 'zod';

/** What a damaged store on disk lost, or may have lost, when it was opened; for operators. */
export const StoreDamage = z.object({
  /** ms since 1970 */
  at: z.number(),
  /** What was damaged and what was done about it, for people. */
  what: z.string(),
  /** Bytes that could not be read. */
  lostBytes: z.number().int(),
  /** Whom those bytes name, as far as can be read in them: queue ids, or domains. At most `MOST_NAMES`. */
  names: z.array(z.string()),
  /** How many more they name. */
  more: z.number().int(),
  /** Where what was damaged lies. The damage is told until somebody moves or deletes this folder. */
  folder: z.string(),
});
export type StoreDamage = z.infer<typeof StoreDamage>;

export const MOST_NAMES = 100;

/** A message that is damaged on disk and was set aside: sender and recipients as far as they are known. */
export const DamagedMail = z.object({ queueId: z.string(), from: z.string().optional(), to: z.array(z.string()) });
export type DamagedMail = z.infer<typeof DamagedMail>;
