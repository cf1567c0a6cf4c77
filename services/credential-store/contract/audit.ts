import { z } from 'zod';
import { AuditEntry, AuditSearch } from '#shared/audit/entry.ts';
import type { OperationSpec } from '#shared/contract.ts';
import { CHANGE } from './common.ts';

/** The audit log (audit/audit-log.ts), in which every service has its changes written. */

export const auditOperations = {
  /**
   * Write an entry; answered when it is on disk. The same entry again is one; another one with its id is `malformed`, and too
   * many of a caller are `busy`.
   */
  'audit-append': {
    request: AuditEntry,
    reply: z.object({}),
    errors: CHANGE,
    elsewhere: ['store-failed'],
    repeatable: true,
  },
  /**
   * What this node has of it, newest first, a page at a time; `next` is the `before` of the page that follows. Each entry
   * is on one node, or on two where the first was long in answering.
   */
  'audit-list': {
    request: AuditSearch.extend({ before: z.string().max(32).optional() }),
    reply: z.object({ node: z.string(), entries: z.array(AuditEntry), next: z.string().optional() }),
    errors: ['store-failed', 'store-damaged'],
  },
} as const satisfies Record<string, OperationSpec>;
