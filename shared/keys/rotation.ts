import { z } from 'zod';
import { KeyAlgorithm, KeyState } from './key.ts';

/** Rotations of keys, and what starts them, as administrators see them. */

/** A rotation as people see it. */
export const RotationStatus = z.object({
  domain: z.string(),
  id: z.string(),
  started: z.number(),
  by: z.string(),
  driver: z.string().optional(),
  /** `running` before the switch, `done` after it; `stopped` at a problem that needs a person. */
  state: z.enum(['running', 'frozen', 'stopped', 'done', 'rolled-back']),
  /** Why it does not continue, or what it waits for. */
  waiting: z.string().optional(),
  /** After the switch, while old and new keys sign side by side: until when, ms since 1970. */
  sideBySideUntil: z.number().optional(),
  to: z.array(z.object({ selector: z.string(), algorithm: KeyAlgorithm, state: KeyState })),
  from: z.array(z.object({ selector: z.string(), algorithm: KeyAlgorithm, state: KeyState })),
  events: z.array(z.object({ at: z.number(), node: z.string(), text: z.string() })),
});
export type RotationStatus = z.infer<typeof RotationStatus>;

export const ScheduleStatus = z.object({
  domain: z.string(),
  days: z.number().int(),
  at: z.string(),
  zone: z.string(),
  parallel: z.boolean(),
  /** ms since 1970 */
  next: z.number(),
});
export type ScheduleStatus = z.infer<typeof ScheduleStatus>;
