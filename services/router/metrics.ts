import { Durations } from '#cluster/durations.ts';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { collected, counter, histogramOf } from '#shared/metrics.ts';

/** What a router counts. */

/**
 * `outcome`: delivered, failed, expired, deferred (an attempt that did not end it). `tls`: clear, encrypted, verified; none
 * where there was no connection to another machine.
 */
const recipients = counter('recipients_total', 'Recipients after an attempt, by what became of them', [
  'outcome',
  'transport',
  'tls',
  'signed',
]);
const ENDS_S = [0.1, 0.5, 2, 10, 60, 300, 1800, 7200, 43_200, 172_800];
/** By transport, in seconds. */
const deliveries = new Map<string, Durations>();

collected('histogram', 'delivery_seconds', 'Time from the acceptance of a message to its delivery to a recipient', () =>
  [...deliveries].flatMap(([transport, counted]) => histogramOf({ transport }, counted)),
);

export const sentNotices = counter('notices_total', 'Notices to senders (DSNs) that were put into the queue', []);
export const duplicates = counter(
  'possible_duplicates_total',
  'Messages sent whose reply was lost, so that they are sent again',
  [],
);

type CountedAttempt = {
  hop: { spec: { kind: string } };
  message: { record: { arrived: number } };
  signatures: readonly unknown[] | undefined;
};

/** What became of a recipient in an attempt; `now` in ms since 1970. */
export function countChange({ hop, message, signatures }: CountedAttempt, status: RecipientStatus, now: number): void {
  const { state: outcome } = status;
  const transport = hop.spec.kind;
  const tls = outcome === 'waiting' ? 'none' : (status.outcome.protection?.reached ?? 'none');
  recipients.inc({ outcome, transport, tls, signed: signatures !== undefined && signatures.length > 0 ? 'yes' : 'no' });
  if (outcome !== 'delivered') return;
  const durations = deliveries.get(transport) ?? new Durations(ENDS_S);
  deliveries.set(transport, durations);
  durations.took((now - message.record.arrived) / 1000);
}
