import type { QueuedMail, WaitingCause } from './facts.ts';

/** What a recipient of a message in a queue waits for. Pure. */

type Recipient = QueuedMail['entry']['recipients'][number];
type Deferred = Extract<Recipient['status'], { state: 'deferred' }>;

export function isOpen({ status }: Recipient): boolean {
  return status.state === 'waiting' || status.state === 'deferred';
}

export function waitingCause({ entry, queued }: QueuedMail, recipient: Recipient, now: number): WaitingCause {
  if (entry.state === 'hold') return holdCause(entry, recipient);
  if (queued.storeFailure !== undefined) return 'store-failing';
  if (queued.obstacle !== undefined) return 'blocked';
  if (recipient.suspended !== undefined) return 'suspended';
  if (recipient.limit !== undefined) return 'rate-limit';
  const { status } = recipient;
  const isDue = status.state === 'waiting' || (status.state === 'deferred' && status.nextAttempt <= now);
  if (isDue && queued.attempting) return 'under-way';
  if (isDue && queued.congested !== undefined) return 'next-hop-busy';
  if (status.state === 'deferred') return deferredCause(status.outcome);
  return recipient.nextHop === '' ? 'no-route' : 'first-attempt';
}

function holdCause({ hold, tls }: QueuedMail['entry'], { dead, status }: Recipient): WaitingCause {
  switch (hold?.by) {
    case 'operator':
      return 'held-by-operator';
    case 'filter':
      return 'held-by-filter';
    case 'rule':
      return 'held-by-rule';
    case 'tls':
      return 'held-for-tls';
    case 'dead-letter':
      return 'dead-letter';
    case 'journal':
      return 'held-for-archive';
    case undefined:
      // The version before held it.
      if (dead === true) return 'dead-letter';
      return tls?.otherwise === 'hold' && status.state === 'deferred' && status.outcome.reply.code === 550
        ? 'held-for-tls'
        : 'held';
  }
}

/** Of what this router says itself where there was no connection, by subject and detail of the enhanced code (RFC 3463). */
const OURS: Readonly<Record<string, WaitingCause>> = {
  '3.0': 'local-trouble',
  '3.1': 'disk-full',
  '3.2': 'blocked',
  '3.5': 'no-route',
  '4.1': 'unreachable',
  '4.2': 'connection-lost',
  '4.3': 'dns-failing',
  '4.4': 'no-address',
  '7.0': 'login-failed',
  '7.5': 'key-missing',
};

/** Of what is said of a host: with 454 these are our words, or those of the host about the same. */
const OF_TLS: ReadonlySet<string> = new Set(['7.4', '7.5', '7.10', '7.11', '7.30']);

/** Of AUTH alone (RFC 4954 §6). */
const OF_AUTH: ReadonlySet<number> = new Set([432, 534, 535, 538]);

export function deferredCause({ host, reply: { code, enhanced, text } }: Deferred['outcome']): WaitingCause {
  const detail = enhanced?.slice(2) ?? '';
  if ((code === 454 || code === 550) && OF_TLS.has(detail)) return 'tls-missing';
  if ((code === 454 && detail === '7.0') || OF_AUTH.has(code)) return 'login-failed';
  if (host !== undefined) {
    if (code !== 451) return 'deferred-by-host';
    if (detail === '4.1' && text.startsWith('cannot connect to ')) return 'unreachable';
    return detail === '4.2' || detail === '5.0' ? 'connection-lost' : 'deferred-by-host';
  }
  if (detail === '7.5' && text.startsWith('the signer ')) return 'signer-silent';
  return OURS[detail] ?? 'local-trouble';
}
