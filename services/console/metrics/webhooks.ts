import { gauge } from '#shared/metrics.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';

/** What services say of webhooks; what they count is in cluster/webhooks/metrics.ts. */

const LABELS = ['service', 'webhook'] as const;
const waiting = gauge('webhook_waiting_events', 'Events that wait for a webhook', LABELS);
const failing = gauge('webhook_failing', 'Webhooks that take no events: 1, or 2 where a person is needed', LABELS);

/** Of the webhooks of a service that were read before. */
const read = new Map<string, readonly WebhookStatus[]>();

export function readWebhooks(service: string, webhooks: readonly WebhookStatus[]): void {
  read.set(service, webhooks);
  for (const one of webhooks) {
    const labels = { service, webhook: one.name };
    waiting.set(labels, one.waiting);
    failing.set(labels, one.paused !== undefined ? 2 : Number(one.failing !== undefined));
  }
}

export function forgetWebhooks(service: string): void {
  for (const { name: webhook } of read.get(service) ?? []) {
    for (const one of [waiting, failing]) one.remove({ service, webhook });
  }
  read.delete(service);
}
