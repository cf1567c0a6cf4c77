import { errorCode, errorText } from '#shared/errors.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { FoundMessage, MessageSearch } from '#shared/mail/message-search.ts';
import type { Slot, Slots } from '../store/slots.ts';
import { type FoundDeps, foundOf, type Recorded, readRecorded } from './found.ts';
import { allIds, type IdRange, type Ids, idRange, isIn, newestFirst, receiptIds } from './ids.ts';
import { type Condition, conditionsOf } from './query.ts';
import type { SearchIndex } from './search-index.ts';
import { termsOf } from './terms.ts';

/**
 * Messages of this node's queue and receipts that a search finds, newest first, a page at a time. Times are those of the
 * arrival. The index says which there are; each is read for the answer, and looked at again, since the
 * index has hashes alone, and messages that are gone.
 */

export type FindDeps = FoundDeps & { index: SearchIndex; log: Logger };
export type FindRequest = MessageSearch & { below?: string | undefined; limit: number };
/** `unreadable`: records that are damaged. `next`: the `below` of the page that follows. */
export type FoundPage = { messages: FoundMessage[]; unreadable: number; next?: string };

/** Work for one page: it ends, perhaps with nothing on it, and the next one goes on. */
const PAGE_MS = 150;
/** Characters of JSON in a page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;

export async function findPage(deps: FindDeps, request: FindRequest): Promise<FoundPage> {
  const page: FoundPage = { messages: [], unreadable: 0 };
  const conditions = conditionsOf(request);
  const range = idRange(request.since, request.until, request.below);
  const end = performance.now() + PAGE_MS;
  let characters = 0;
  for await (const { ids, rest } of idsFor(deps, request, conditions, range)) {
    for (const id of ids) {
      const found = isPossible(deps, id, request) ? await read(deps, id, page) : undefined;
      const message = found !== undefined && meets(found, conditions) ? foundOf(found, request) : undefined;
      if (message === undefined) {
        if (performance.now() > end) return { ...page, next: id };
        continue;
      }
      characters += JSON.stringify(message).length;
      page.messages.push(message);
      const isFull = page.messages.length >= request.limit || characters >= PAGE_CHARACTERS;
      if (isFull || performance.now() > end) return { ...page, next: id };
    }
    if (performance.now() > end) return { ...page, next: rest };
  }
  return page;
}

async function* idsFor(
  { store, slots, index }: FindDeps,
  { queueId, state }: FindRequest,
  conditions: readonly Condition[],
  range: IdRange,
): AsyncGenerator<Ids> {
  if (queueId !== undefined) {
    const isInRange = QUEUE_ID.test(queueId) && queueId >= range.from && queueId < range.below;
    yield { ids: isInRange ? [queueId] : [], rest: '' };
  } else if (conditions.length === 0) {
    const few = fewOf(slots, state, range);
    if (few !== undefined) yield { ids: few, rest: '' };
    else if (state === 'delivered' || state === 'failed') yield* receiptIds(store, range);
    else yield* allIds(store, range);
  } else yield* index.ids(conditions, range);
}

/** Messages of a state, where it is quicker to sort their ids than to read past all others. */
const MOST_FEW = 50_000;

function fewOf(slots: Slots, state: FindRequest['state'], range: IdRange): string[] | undefined {
  if (state !== 'waiting' && state !== 'held') return undefined;
  const { active, deferred, hold } = slots.counts;
  if ((state === 'held' ? hold : active + deferred) > MOST_FEW) return undefined;
  const ids: string[] = [];
  for (const slot of slots.all()) if (isQueued(slot, state) && isIn(slot.id, range)) ids.push(slot.id);
  return ids.sort(newestFirst);
}

const isQueued = (slot: Slot | undefined, state: 'waiting' | 'held'): boolean =>
  slot !== undefined && (slot.state === 'hold') === (state === 'held');

/** Whether a message can be in the state that is asked for, as far as the queue knows without reading it. */
function isPossible({ slots }: FindDeps, id: string, { state }: FindRequest): boolean {
  if (state === undefined) return true;
  const slot = slots.get(id);
  return state === 'held' || state === 'waiting' ? isQueued(slot, state) : slot === undefined;
}

async function read(deps: FindDeps, id: string, page: FoundPage): Promise<Recorded | undefined> {
  try {
    return await readRecorded(deps, id);
  } catch (error) {
    if (errorCode(error) !== 'corrupt') throw error;
    page.unreadable++;
    deps.log.debug({ queueId: id, error: errorText(error) }, 'a damaged record was left out of a search');
    return undefined;
  }
}

function meets(recorded: Recorded, conditions: readonly Condition[]): boolean {
  if (conditions.length === 0) return true;
  const terms = termsOf(recorded);
  return conditions.every((condition) => condition.some((term) => terms.has(term)));
}
