import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type QueueFilter, type QueueTest, testOf } from '#shared/queue/filter.ts';
import { senderOf } from '../queue/grouping.ts';
import { hopOfMessage } from '../queue/message-hop.ts';
import type { Routing } from '../queue/routing.ts';
import { loadMessage } from '../store/load.ts';
import { isFinal, isJunk, loadedMessage, type Message, type Recipient } from '../store/message.ts';
import { MessageRecord, parseRecord, queueIdOf, RecipientRecord, rangeOf } from '../store/records.ts';
import type { Slot, SlotState, Slots } from '../store/slots.ts';

/**
 * The messages of the queue that a filter means, oldest first, a page at a time. They are read from the store, so it is what
 * a restart would find. The index of receipts is not asked: a version before it has written none of it.
 */

export type SelectionDeps = { store: Store; slots: Slots; routing: Routing; log: Logger };

/** Work for one page: it ends, perhaps with nothing on it, and the next one goes on. */
const PAGE_MS = 300;
const MOST_FEW = 1000;

export type Walk = {
  filter: QueueFilter;
  /** Only what is newer than this queue id. */
  after?: string | undefined;
  /** Whether a message is looked at at all. */
  wants?: (slot: Slot) => boolean;
  /** Of which recipients the filter speaks; of all by default. */
  of?: (recipient: Recipient, message: Message) => boolean;
};

/** Whether the page is full. */
export type Visit = (message: Message, slot: Slot) => boolean;

/**
 * Visit what is meant, until the page is full or has taken its time. Resolves to the `after` of the next page, undefined where
 * there is none.
 */
export async function walkPage(deps: SelectionDeps, walk: Walk, visit: Visit): Promise<string | undefined> {
  const { filter, after = '', wants = () => true, of = () => true } = walk;
  const end = performance.now() + PAGE_MS;
  const test = testOf(filter);
  const slotOf = (id: string): Slot | undefined => {
    const slot = deps.slots.get(id);
    const isWanted = slot !== undefined && (filter.state === undefined || slot.state === filter.state) && wants(slot);
    return isWanted ? slot : undefined;
  };
  const wanted = (id: string): boolean => slotOf(id) !== undefined;
  const ids = filter.ids ?? fewOf(deps.slots, filter.state);
  const messages = ids === undefined ? messagesFrom(deps, after, wanted) : messagesNamed(deps, ids, after, wanted);
  for await (const { id, message } of messages) {
    const slot = message === undefined ? undefined : slotOf(id);
    const isFull =
      message !== undefined && slot !== undefined && isMeant(deps, { test, of }, message, slot) && visit(message, slot);
    if (isFull || performance.now() > end) return id;
  }
  return undefined;
}

/** The messages of a state, where it is quicker to read each of them than all of the queue. */
function fewOf(slots: Slots, state: SlotState | undefined): string[] | undefined {
  const { counts } = slots;
  const all = counts.active + counts.deferred + counts.hold;
  if (state === undefined || counts[state] > Math.min(MOST_FEW, all / 10)) return undefined;
  return [...slots.all()].filter((slot) => slot.state === state).map(({ id }) => id);
}

function isMeant(
  { routing }: SelectionDeps,
  { test, of }: { test: QueueTest; of: NonNullable<Walk['of']> },
  message: Message,
  { state }: Slot,
): boolean {
  const { id: queueId, record } = message;
  const { arrived, reversePath } = record;
  const recipients = message.recipients.filter((one) => of(one, message));
  return test({ queueId, state, arrived, reversePath, recipients }, (one) => hopKeyOf(routing, message, one));
}

/** The next hop of a recipient as it is listed: the one that it had, or the one that it has now. */
export function hopKeyOf(routing: Routing, message: Message, recipient: Recipient): string {
  return (isFinal(recipient.status) ? recipient.nextHop : hopOf(routing, message, recipient)?.key) ?? '';
}

export function hopOf(routing: Routing, message: Message, recipient: Recipient): ReturnType<Routing['nextHop']> {
  return targetOf(routing, message, recipient).hop;
}

/** The mailbox that the mail of a recipient goes to, which is another one for junk, and by which next hop. */
export function targetOf(
  routing: Routing,
  message: Message,
  { recipient, junkToRefused }: Recipient,
): ReturnType<Routing['target']> {
  const junk = isJunk(message, recipient) && junkToRefused !== true;
  const { address, hop } = routing.target(recipient.address, { ...senderOf(message, recipient), junk });
  return { address, hop: hop && hopOfMessage(hop, message.record) };
}

/** `message`: undefined where it is not wanted, or damaged: those are set aside when their turn comes. */
type Examined = { id: string; message: Message | undefined };

/** The messages of the queue after an id, in order, read in step with their recipients. */
async function* messagesFrom(
  { store, log }: Pick<SelectionDeps, 'store' | 'log'>,
  after: string,
  wanted: (id: string) => boolean,
): AsyncGenerator<Examined> {
  const recipients = store.entries({ gt: `recipient!${after}"`, lt: rangeOf('recipient').lt })[Symbol.asyncIterator]();
  let next = await recipients.next();
  try {
    for await (const [key, value] of store.entries({ gt: `message!${after}`, lt: rangeOf('message').lt })) {
      const id = queueIdOf(key);
      const isWanted = wanted(id);
      const sealed: [string, Buffer][] = [];
      while (next.done !== true && queueIdOf(next.value[0]) <= id) {
        if (isWanted && queueIdOf(next.value[0]) === id) sealed.push(next.value);
        next = await recipients.next();
      }
      yield { id, message: isWanted ? parsed(id, [key, value], sealed, log) : undefined };
    }
  } finally {
    await recipients.return?.(undefined);
  }
}

function parsed(
  id: string,
  [key, value]: [string, Buffer],
  recipients: readonly [string, Buffer][],
  log: Logger,
): Message | undefined {
  try {
    const records = recipients.map(([name, sealed]) => parseRecord(RecipientRecord, name, sealed));
    return loadedMessage(id, parseRecord(MessageRecord, key, value), records);
  } catch (error) {
    leaveOut(id, error, log);
    return undefined;
  }
}

async function* messagesNamed(
  { store, log }: SelectionDeps,
  ids: readonly string[],
  after: string,
  wanted: (id: string) => boolean,
): AsyncGenerator<Examined> {
  for (const id of new Set(ids.toSorted())) {
    if (id <= after || !wanted(id)) continue;
    const message = await loadMessage(store, id).catch((error: unknown) => leaveOut(id, error, log));
    yield { id, message };
  }
}

function leaveOut(id: string, error: unknown, log: Logger): undefined {
  if (errorCode(error) !== 'corrupt') throw error;
  log.debug({ queueId: id, error: errorText(error) }, 'a damaged message was left out of the list');
}
