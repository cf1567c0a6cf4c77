import { counter } from '#shared/metrics.ts';

/** What is counted of webhooks, by their names in the configuration. */

/** `outcome`: `taken` (2xx), `refused` (another answer), `failed` (no answer). */
export const attempts = counter('webhook_attempts_total', 'Events posted to webhooks, by what came of it', [
  'webhook',
  'outcome',
]);

/** `reason`: `age`, a day was not enough; `room`, too many waited. */
export const dropped = counter('webhook_dropped_events_total', 'Events that a webhook was never told', [
  'webhook',
  'reason',
]);
