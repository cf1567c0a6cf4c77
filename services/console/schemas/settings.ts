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
  /** The node whose configuration in force it is compared with. */
  node: z.string(),
  /** Absent where it is not valid. `before` is absent of what was added, `after` of what was taken out; secrets are not shown. */
  changes: z
    .array(
      z.object({
        path: z.string(),
        before: z.string().optional(),
        after: z.string().optional(),
        effect: z.enum(['now', 'restart']),
      }),
    )
    .optional(),
  /** The services of the node that must be started again, where a change needs that: until then none of the changes counts. */
  restart: z.array(z.string()).optional(),
  /** What doctor and cluster status would find, and no longer find. Absent where that could not be found out, and `unknown` says why. */
  alarms: z
    .array(
      z.object({
        change: z.enum(['raised', 'cleared']),
        severity: z.enum(['error', 'warning', 'note']),
        about: z.string(),
        text: z.string(),
        help: z.string(),
      }),
    )
    .optional(),
  unknown: z.string().optional(),
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
