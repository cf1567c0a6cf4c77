import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { QueuedFacts, QueueEntry } from '#shared/mail/queue-entry.ts';
import type { AuthenticationPage, AuthenticationRequest } from '#shared/mail/reports/authentication-totals.ts';
import type { LedgerPage, LedgerRequest } from '#shared/mail/tls-ledger.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import { CHUNK_BYTES } from '../contract.ts';
import type { SuspendedMail } from '../directives/suspended.ts';
import type { Pacer } from '../pacing/pacer.ts';
import { isPaced } from '../queue/congestion.ts';
import type { Routing } from '../queue/routing.ts';
import { type FindRequest, type FoundPage, findPage } from '../receipts/search.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import { readReceipt, type Shown, shownReceipt, withAttempts } from '../receipts/shown.ts';
import type { Bodies } from '../store/bodies.ts';
import { contentOf, sizeOf } from '../store/content.ts';
import type { Corrupt } from '../store/corrupt.ts';
import { loadMessage } from '../store/load.ts';
import { dueAt, isFinal, type Message, type Recipient } from '../store/message.ts';
import { keys } from '../store/records.ts';
import type { Slot, Slots } from '../store/slots.ts';
import { authenticationPage } from './authentication.ts';
import { ledgerPage } from './ledger.ts';
import { hopKeyOf, hopOf, targetOf, walkPage } from './selection.ts';
import { type SummaryPage, type SummaryRequest, summaryPage } from './summary.ts';
import { backoffOf, type Pauses, shownStatus } from './waiting.ts';

/** What operators can see: list, show, read. Everything comes from the store, so it is what a restart would find. */

export type ViewDeps = Pauses & {
  settings: Settings;
  store: Store;
  slots: Slots;
  index: SearchIndex;
  bodies: Bodies;
  corrupt: Corrupt;
  routing: Routing;
  pacer: Pacer;
  suspended: SuspendedMail;
  /** Why this node must not deliver a message now; undefined where it may. */
  obstacle: (slot: Slot) => string | undefined;
  log: Logger;
};

export type ListRequest = QueueFilter & { after?: string | undefined; limit: number };

/**
 * A page is full when it has this many characters of JSON: NATS carries 1 MB, and one entry more may be half of that.
 */
const PAGE_CHARACTERS = 256 * 1024;

export class Views {
  readonly #deps: ViewDeps;

  constructor(deps: ViewDeps) {
    this.#deps = deps;
  }

  /** A page of the queue, oldest first; with `next` where there may be more. */
  async list({ after, limit, ...filter }: ListRequest): Promise<{ entries: QueueEntry[]; next?: string }> {
    const entries: QueueEntry[] = [];
    let size = 0;
    const next = await walkPage(this.#deps, { filter, after }, (message, slot) => {
      const entry = this.#entry(message, slot);
      size += JSON.stringify(entry).length;
      return entries.push(entry) >= limit || size >= PAGE_CHARACTERS;
    });
    return { entries, ...(next !== undefined && { next }) };
  }

  /** How many messages there are of each kind, a part of the queue at a time. */
  summarize(request: SummaryRequest): Promise<SummaryPage> {
    return summaryPage({ ...this.#deps, node: this.#deps.settings.current.node.name }, request);
  }

  /** What a search finds, in the queue and of receipts. */
  find(request: FindRequest): Promise<FoundPage> {
    return findPage(this.#deps, request);
  }

  ledger(request: LedgerRequest): Promise<LedgerPage> {
    return ledgerPage(this.#deps, request);
  }

  authentication(request: AuthenticationRequest): Promise<AuthenticationPage> {
    return authenticationPage(this.#deps, request);
  }

  /** A message in the queue, or the receipt of one that left, with all attempts. Throws `not-found`. */
  async show(id: string): Promise<Shown> {
    const slot = this.#deps.slots.get(id);
    if (slot !== undefined) {
      const message = slot.message ?? (await this.#load(id));
      if (message !== undefined && !message.gone) {
        const entry = withAttempts(this.#entry(message, slot), message.recipients);
        return { entry, finished: false, queued: this.#queuedFacts(message, slot) };
      }
    }
    const receipt = QUEUE_ID.test(id) ? await readReceipt(this.#deps, id) : undefined;
    if (receipt === undefined) throw this.notFound(id);
    return shownReceipt(id, receipt);
  }

  /** A piece of a queued message as it would be sent, without signatures. Throws `not-found` or `corrupt`. */
  async read(id: string, offset: number): Promise<{ total: number; bytes: Uint8Array }> {
    const slot = this.#deps.slots.get(id);
    const message = slot?.message ?? (slot === undefined ? undefined : await this.#load(id));
    if (message === undefined) {
      if (this.#deps.corrupt.has(id)) throw new SealpostError('corrupt', `message ${id} is damaged and was set aside`);
      throw this.notFound(id);
    }
    const { front, replaced } = contentOf(message.record);
    const total = sizeOf(message.record);
    if (offset < front.length) return { total, bytes: front.subarray(offset, offset + CHUNK_BYTES) };
    // As if no stored byte were replaced, the first of them stand before `front` ends.
    let start = front.length - replaced;
    for (const [n, size] of message.record.chunks.entries()) {
      if (offset < start + size) {
        return { total, bytes: (await this.#deps.bodies.piece(message, n)).subarray(offset - start) };
      }
      start += size;
    }
    return { total, bytes: new Uint8Array(0) };
  }

  /** Whether a message is in the queue, or was. */
  async knows(id: string): Promise<boolean> {
    const { slots, store } = this.#deps;
    return slots.get(id) !== undefined || (QUEUE_ID.test(id) && (await store.get(keys.receipt(id))) !== undefined);
  }

  notFound(id: string): SealpostError {
    const why = this.#deps.corrupt.has(id)
      ? 'it is damaged and was set aside'
      : 'neither in the queue nor in the receipts';
    return new SealpostError('not-found', `no message ${id} on this node: ${why}`);
  }

  /** The message, or undefined when it left the queue meanwhile. */
  async #load(id: string): Promise<Message | undefined> {
    try {
      return await loadMessage(this.#deps.store, id);
    } catch (error) {
      if (errorCode(error) !== 'corrupt' || this.#deps.slots.get(id) !== undefined) throw error;
      return undefined;
    }
  }

  #entry(message: Message, slot: Slot): QueueEntry {
    const { record } = message;
    return {
      queueId: message.id,
      node: this.#deps.settings.current.node.name,
      state: slot.state,
      arrived: record.arrived,
      size: record.facts.size,
      reversePath: record.reversePath,
      origin: record.origin,
      trace: record.trace,
      junk: record.junk,
      authenticity: record.authenticity,
      filters: record.filters,
      tls: record.tls,
      alone: record.alone,
      via: record.via,
      takenOver: record.takenOver,
      messageId: record.facts.messageId,
      hold: slot.state === 'hold' ? record.hold : undefined,
      notices: record.notices,
      recipients: message.recipients.map((r) => this.#recipient(message, r, slot)),
    };
  }

  #recipient(message: Message, r: Recipient, { state }: Slot): QueueEntry['recipients'][number] {
    const backoff = backoffOf(this.#deps, message, r);
    return {
      recipient: r.recipient,
      status: shownStatus(r.status, backoff),
      nextHop: hopKeyOf(this.#deps.routing, message, r),
      ...(backoff !== undefined && { backoff }),
      ...this.#directedOf(message, r),
      limit: state === 'active' ? this.#limitOf(message, r) : undefined,
      signatures: r.signatures,
      dead: r.dead,
    };
  }

  /** What operators have told the routers about the mail of a recipient. */
  #directedOf(message: Message, r: Recipient): Pick<QueueEntry['recipients'][number], 'suspended' | 'redirected'> {
    if (isFinal(r.status)) return r.redirected === undefined ? {} : { redirected: r.redirected };
    const { address, hop } = targetOf(this.#deps.routing, message, r);
    const suspended = this.#deps.suspended.of(message, [r.recipient, { ...r.recipient, address }], hop);
    const redirected = hop?.redirected;
    return { ...(suspended && { suspended }), ...(redirected && { redirected }) };
  }

  #queuedFacts({ busy }: Message, slot: Slot): QueuedFacts {
    const { store, obstacle } = this.#deps;
    const { copy, parked } = slot;
    const failure = store.failure;
    const reason = obstacle(slot);
    return {
      ...(copy !== undefined && { second: copy.node }),
      ...(reason !== undefined && { obstacle: reason }),
      ...(failure !== undefined && { storeFailure: errorText(failure) }),
      ...(busy > 0 && { attempting: true }),
      ...(parked !== undefined && !isPaced(parked) && { congested: parked }),
    };
  }

  /** The limit for which a recipient of an active message waits. */
  #limitOf(message: Message, recipient: Recipient): string | undefined {
    if (dueAt(recipient.status) > Date.now()) return undefined;
    const key = hopOf(this.#deps.routing, message, recipient)?.limit;
    return key === undefined ? undefined : this.#deps.pacer.waitsFor(key);
  }
}
