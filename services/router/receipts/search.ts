import { errorCode, errorText } from '#shared/errors.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { FoundMessage, MessageSearch } from '#shared/mail/message-search.ts';
import { type FoundDeps, foundOf, type Recorded, readRecorded } from './found.ts';
import { allIds, type IdRange, type Ids, idRange } from './ids.ts';
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
const PAGE_MS = 300;
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
      const found = await read(deps, id, page);
      if (found === undefined || !meets(found, conditions)) continue;
      const message = foundOf(found, request);
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
  { store, index }: FindDeps,
  { queueId }: FindRequest,
  conditions: readonly Condition[],
  range: IdRange,
): AsyncGenerator<Ids> {
  if (queueId !== undefined) {
    const isInRange = QUEUE_ID.test(queueId) && queueId >= range.from && queueId < range.below;
    yield { ids: isInRange ? [queueId] : [], rest: '' };
  } else if (conditions.length === 0) yield* allIds(store, range);
  else yield* index.ids(conditions, range);
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
