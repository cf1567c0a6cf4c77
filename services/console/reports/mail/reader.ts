import { routerContract } from '#services/router/contract.ts';
import type { FoundMessage, MessageSearch } from '#shared/mail/message-search.ts';
import type { Clients } from '../clients.ts';

/**
 * What a search finds on several nodes, as one list, newest first, read page by page. A message that more than one node
 * knows (it is in one queue and has a receipt elsewhere, or its receipt has a copy) is in it once.
 */

/** The first page is small: what a person waits for. */
const PAGES = { first: 50, rest: 500 };

/** `below`: only what is older than this queue id. */
export type FindQuestion = MessageSearch & { below?: string };

export class FindReader {
  readonly #clients: Clients;
  readonly #question: FindQuestion;
  readonly #onSilent: (node: string, error: unknown) => void;
  /** Records that are damaged. */
  unreadable = 0;

  /** A node that does not answer is told to `onSilent` and left out from there on. */
  constructor(clients: Clients, question: FindQuestion, onSilent: (node: string, error: unknown) => void) {
    this.#clients = clients;
    this.#question = question;
    this.#onSilent = onSilent;
  }

  messages(nodes: readonly string[]): AsyncGenerator<FoundMessage> {
    return mergeFound(nodes.map((node) => this.#messagesOf(node)));
  }

  async *#messagesOf(node: string): Found {
    const router = this.#clients.client(routerContract);
    try {
      for (let { below } = this.#question, limit = PAGES.first; ; limit = PAGES.rest) {
        const page = await router['message-find']({ ...this.#question, below, limit }, { node });
        this.unreadable += page.unreadable;
        yield* page.messages;
        if (page.next === undefined) return undefined;
        below = page.next;
      }
    } catch (error) {
      this.#onSilent(node, error);
      return undefined;
    }
  }
}

type Found = AsyncGenerator<FoundMessage, undefined>;

/** Lists that are each newest first, as one; of a message that is in several, what says most. */
export async function* mergeFound(lists: readonly Found[]): AsyncGenerator<FoundMessage> {
  const heads = await Promise.all(lists.map(async (list) => ({ list, message: (await list.next()).value })));
  for (;;) {
    // Queue ids grow with time.
    const newest = heads.map(({ message }) => message?.queueId ?? '').reduce((a, b) => (a >= b ? a : b), '');
    if (newest === '') return;
    const same = heads.filter(({ message }) => message?.queueId === newest);
    const messages = same.flatMap(({ message }) => message ?? []);
    yield mostTelling(messages);
    await Promise.all(
      same.map(async (head) => {
        head.message = (await head.list.next()).value;
      }),
    );
  }
}

/** Of what several nodes say of a message: a queue knows more than a receipt, and its writer more than its copy. */
export function mostTelling<T extends { finished?: unknown; copy?: true | undefined }>(answers: readonly T[]): T {
  const [first, ...others] = answers;
  if (first === undefined) throw new Error('no answer to choose from');
  return others.reduce((a, b) => (rankOf(a) <= rankOf(b) ? a : b), first);
}

function rankOf({ finished, copy }: { finished?: unknown; copy?: true | undefined }): number {
  if (finished === undefined || finished === false) return 0;
  return copy === true ? 2 : 1;
}
