import { z } from 'zod';
import { KeyAlgorithm } from '#shared/keys/key.ts';
import { KeyStatus } from '#shared/keys/key-status.ts';
import { RotationStatus, ScheduleStatus } from '#shared/keys/rotation.ts';

/** DKIM keys, their rotations and their records. Times are ms since 1970. */

export const KeyShown = KeyStatus.extend({
  /** What it does or waits for now, as a clause. */
  next: z.string(),
  /** What needs a look, as a clause; absent where nothing does. */
  note: z.string().optional(),
  /** A rotation that it belongs to is frozen. */
  frozen: z.boolean(),
});
export type KeyShown = z.infer<typeof KeyShown>;

/** `text`: where it stands and what it waits for. */
export const RotationShown = RotationStatus.extend({ text: z.string() });
export type RotationShown = z.infer<typeof RotationShown>;

export const KeyListReply = z.object({
  /** Which node answered, and why it may not know the newest. */
  node: z.string(),
  behind: z.string().optional(),
  keys: z.array(KeyShown),
  /** Those that have not ended. */
  rotations: z.array(RotationShown),
  schedules: z.array(ScheduleStatus),
  /** Names of all live nodes, where some lack a key. */
  live: z.array(z.string()),
  /** Domains of the configuration, for which keys can be made. */
  domains: z.array(z.string()),
});
export type KeyListReply = z.infer<typeof KeyListReply>;

export const KeyReply = z.object({
  key: KeyShown,
  /** Nodes that live and lack it. */
  lacking: z.array(z.string()),
  /** What stands in DNS, or is to; absent where the key leaves nothing there. */
  record: z
    .object({
      name: z.string(),
      /** Seconds. */
      ttl: z.number(),
      value: z.string(),
      zone: z.string(),
      /** The line for the zone of the domain itself, where the record stands elsewhere. */
      cname: z.string().optional(),
    })
    .optional(),
  /** The last rotation of its domain. */
  rotation: RotationShown.optional(),
});
export type KeyReply = z.infer<typeof KeyReply>;

const DomainText = z.string().min(1).max(255);
const Selector = z.string().min(1).max(63);

export const KeyName = z.object({ domain: DomainText, selector: Selector });
export const DomainName = z.object({ domain: DomainText });

/** `activate` absent: it signs by itself once it is proven, where the domain has no active key of its type. */
export const NewKey = z.strictObject({
  domain: DomainText,
  selector: Selector,
  algorithm: KeyAlgorithm.default('rsa-2048'),
  activate: z.boolean().optional(),
});

export const NewRotation = z.strictObject({
  /** Names of the new keys, in the order of those that they replace; default: by date. */
  to: z.array(Selector).max(10).optional(),
  /** How long old and new keys sign side by side, ms. */
  sideBySide: z.number().int().nonnegative().default(0),
});

/** `days` absent: no schedule. */
export const NewSchedule = z.strictObject({
  days: z.number().int().min(1).max(3650).optional(),
  at: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/)
    .default('03:00'),
});

/** What every live node sees. */
export const KeyVerified = z.object({
  views: z.array(z.object({ node: z.string(), verdict: z.string(), summary: z.string() })),
  unproven: z.array(z.object({ node: z.string(), reason: z.string() })),
});
export type KeyVerified = z.infer<typeof KeyVerified>;
