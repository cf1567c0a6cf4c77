import { z } from 'zod';
import { AuditEntry } from '#shared/audit/entry.ts';

/** The configuration in force, what a change of it would say, and who changed what. Times are ms since 1970. */

export const SettingsReply = z.object({
  /** The node that answers: each has a configuration of its own. */
  node: z.string(),
  /** YAML with all defaults, without the text of secrets; times are in milliseconds. */
  text: z.string(),
});
export type SettingsReply = z.infer<typeof SettingsReply>;

export const SettingsCheck = z.strictObject({ text: z.string().max(1_000_000) });

export const SettingsChecked = z.object({
  /** `line`: where in the text; `path`: of the option. */
  problems: z.array(z.object({ path: z.string(), line: z.number().optional(), message: z.string() })),
  warnings: z.array(z.string()),
});
export type SettingsChecked = z.infer<typeof SettingsChecked>;

export const AuditQuery = z.strictObject({
  by: z.string().max(255).optional(),
  about: z.string().max(255).optional(),
  since: z.coerce.number().optional(),
  until: z.coerce.number().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});

export const AuditReply = z.object({
  /** Newest first. */
  entries: z.array(AuditEntry),
  more: z.boolean(),
  /** Nodes that did not say what they have, and why. */
  silent: z.array(z.object({ node: z.string(), reason: z.string() })),
});
export type AuditReply = z.infer<typeof AuditReply>;
