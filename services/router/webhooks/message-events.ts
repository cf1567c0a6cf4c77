import type { Settings } from '#cluster/config/settings.ts';
import type { Prepared, Webhooks } from '#cluster/webhooks/webhooks.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import type { EventData, EventType, WebhookEvent } from '#shared/webhooks/events.ts';
import type { Message, Recipient } from '../store/message.ts';

/** What webhooks are told of mail: one event for each recipient and state, where a webhook wants such events. */

type Settled = Exclude<RecipientStatus, { state: 'waiting' }>;
type Change = { recipient: Recipient; status: RecipientStatus; silent: boolean; local?: boolean };

const TYPES = {
  delivered: 'message.delivered',
  failed: 'message.failed',
  expired: 'message.expired',
  deferred: 'message.deferred',
} as const satisfies Record<Settled['state'], EventType>;

export class MessageEvents {
  readonly #webhooks: Pick<Webhooks, 'wants' | 'prepare'>;
  readonly #settings: Settings;

  constructor(webhooks: Pick<Webhooks, 'wants' | 'prepare'>, settings: Settings) {
    this.#webhooks = webhooks;
    this.#settings = settings;
  }

  /** What writes the events of these changes, which the message has already; undefined where nobody wants them. */
  prepare(message: Message, changes: readonly Change[], now: number): Prepared | undefined {
    let events: WebhookEvent[] | undefined;
    for (const { recipient, status, silent, local } of changes) {
      if (status.state === 'waiting' || !this.#webhooks.wants(TYPES[status.state])) continue;
      // Trouble of this node is no attempt.
      if (status.state === 'deferred' && (silent || local === true)) continue;
      events ??= [];
      events.push(this.#event(message, recipient, status, now));
    }
    return events && this.#webhooks.prepare(events);
  }

  #event(message: Message, recipient: Recipient, status: Settled, now: number): WebhookEvent {
    const { reversePath } = message.record;
    const { address, original } = recipient.recipient;
    const data = dataOf(message, recipient, status, this.#settings.current.node.name);
    // A message that another node takes over keeps its id: should both report it, receivers see that it is the same event.
    const once = status.state === 'deferred' ? `_${now}` : '';
    return {
      id: `msg_${message.id}_${message.recipients.indexOf(recipient)}_${status.state}${once}`,
      type: TYPES[status.state],
      at: now,
      data,
      domains: [reversePath, address, original ?? ''].map((mailbox) => normalizeDomain(domainOf(mailbox))),
    };
  }
}

/** With what name we log in at a smart host is nothing to receivers. */
const withoutUsers = (hop: string): string => hop.replaceAll(/\/\/[^\s,/]*@/g, '//');

function dataOf(
  { id, record }: Message,
  { recipient, nextHop, signatures = [] }: Recipient,
  status: Settled,
  node: string,
): EventData<'message.delivered'> | EventData<'message.deferred'> {
  const { host, reply, tls } = status.outcome;
  const { messageId, size } = record.facts;
  const { address, original, journal } = recipient;
  const data = {
    ...{ node, queueId: id },
    ...(messageId !== undefined && { messageId }),
    kind: record.origin.kind,
    ...(record.origin.user !== undefined && { user: record.origin.user }),
    ...{ from: record.reversePath, to: address },
    ...(original !== undefined && { originalTo: original }),
    ...(journal !== undefined && { journal: journal.rule }),
    ...{ arrived: new Date(record.arrived).toISOString(), size },
    ...(nextHop !== undefined && { nextHop: withoutUsers(nextHop) }),
    ...(host !== undefined && { host }),
    reply: {
      code: reply.code,
      ...(reply.enhanced !== undefined && { enhanced: reply.enhanced }),
      text: reply.text,
    },
    ...(tls !== undefined && { tls: { protocol: tls.protocol, cipher: tls.cipher } }),
    signatures: signatures.map(({ domain, selector }) => ({ domain, selector })),
  };
  if (status.state !== 'deferred') return data;
  return { ...data, attempts: status.attempts, nextAttempt: new Date(status.nextAttempt).toISOString() };
}
