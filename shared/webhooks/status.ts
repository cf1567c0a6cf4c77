import { z } from 'zod';
import type { OperationSpec } from '../contract.ts';

/** How a webhook is doing, as a process that sends to it says. Times are ms since 1970. */
export const WebhookStatus = z.object({
  name: z.string(),
  /** Events that are to be sent, and since when the oldest of them waits. */
  waiting: z.number().int(),
  oldest: z.number().optional(),
  /** Since the start of the process: events that were taken, and those that were given up. */
  sent: z.number().int(),
  dropped: z.number().int(),
  /** When the last of those was given up; absent in answers of the version before. */
  lastDropped: z.number().optional(),
  lastSuccess: z.number().optional(),
  lastError: z.object({ at: z.number(), text: z.string() }).optional(),
  /** Since when every attempt has failed, and when the next one is made; absent while they succeed. */
  failing: z.object({ since: z.number(), tries: z.number().int(), next: z.number() }).optional(),
  /** The receiver wants no more (410 Gone): nothing is sent until an operator says so. */
  paused: z.object({ at: z.number() }).optional(),
});
export type WebhookStatus = z.infer<typeof WebhookStatus>;

/** What came of an event that was sent for a test; `error`: there was no answer. */
export const TestResult = z.object({
  id: z.string(),
  ms: z.number(),
  status: z.number().int().optional(),
  /** The beginning of the body of the answer. */
  body: z.string().optional(),
  error: z.string().optional(),
});
export type TestResult = z.infer<typeof TestResult>;

const Name = z.object({ name: z.string().max(64) });

/** What each service that sends to webhooks can be asked. */
export const webhookOperations = {
  'webhook-list': { request: z.object({}), reply: z.object({ node: z.string(), webhooks: z.array(WebhookStatus) }) },
  /** Send what waits now, also to one that is paused. Answers how much waits. */
  'webhook-retry': {
    request: Name,
    reply: z.object({ waiting: z.number().int() }),
    errors: ['not-found'],
    audited: ({ name }: { name: string }) => name,
  },
  /** Post an event of the type `webhook.test`, once. */
  'webhook-test': { request: Name, reply: TestResult, errors: ['not-found'], timeout: 70_000 },
} as const satisfies Record<string, OperationSpec>;
