import type { ChangeReply, ChangeRequest, QueueFilter } from '#services/console/schemas/queue.ts';
import { useEffect, useRef, useState } from '/vendor/preact.js';
import { post } from '../../state/api.ts';

/**
 * A change of all mail that a filter means, in stages:
 *
 *   counting → asking → working → done
 *                     ↘ stopped → working: what is done is done, and it goes on with the rest
 *
 * Mail that arrives after the count is left alone. A request works for a moment and says how far it is.
 */

export type BulkOperation = ChangeRequest['operation'];
export type Stage = 'counting' | 'asking' | 'working' | 'stopped' | 'done';

/** What is asked for before the work begins. */
export type Words = Pick<ChangeRequest, 'reason' | 'via'>;

export type BulkChange = {
  stage: Stage;
  /** Of the count. */
  total: number;
  nodes: ChangeReply['nodes'];
  /** Changed so far. */
  count: number;
  silent: ChangeReply['silent'];
  problem: unknown;
  /** Do it, or the rest of it. Resolves to how many were changed where all is done. */
  work: (words: Words) => Promise<number | undefined>;
  stop: () => void;
};

type State = Pick<BulkChange, 'stage' | 'nodes' | 'count' | 'silent' | 'problem'>;

export function useBulkChange(operation: BulkOperation, filter: QueueFilter): BulkChange {
  const [state, setState] = useState<State>({ stage: 'counting', nodes: [], count: 0, silent: [], problem: undefined });
  const change = (changes: Partial<State>): void => setState((old) => ({ ...old, ...changes }));
  const walk = useRef(new Walk(operation, filter)).current;

  const countAll = async (): Promise<void> => {
    const sums = new Map<string, number>();
    const isWhole = await walk.count((part) => {
      for (const { node, count } of part.nodes) sums.set(node, (sums.get(node) ?? 0) + count);
      change({ nodes: [...sums].map(([node, count]) => ({ node, count })), silent: part.silent });
    });
    if (isWhole) change({ stage: 'asking' });
  };
  useEffect(() => {
    countAll().catch((problem: unknown) => change({ problem }));
    return () => walk.stop();
  }, []);

  const work = async (words: Words): Promise<number | undefined> => {
    change({ stage: 'working', problem: undefined });
    let { count } = state;
    try {
      const isWhole = await walk.work(words, (part) => {
        count += part.count;
        change({ count, silent: part.silent });
      });
      change({ stage: isWhole ? 'done' : 'stopped' });
      return isWhole ? count : undefined;
    } catch (problem) {
      change({ stage: 'stopped', problem });
      return undefined;
    }
  };
  const total = state.nodes.reduce((sum, { count }) => sum + count, 0);
  return { ...state, work, total, stop: () => walk.stop() };
}

type OnPart = (part: ChangeReply) => void;

/** How far a change is on each node. */
class Walk {
  readonly #request: Pick<ChangeRequest, 'operation' | 'filter'>;
  #places: ChangeReply['places'] | undefined;
  #stopped = false;

  constructor(operation: BulkOperation, filter: QueueFilter) {
    this.#request = { operation, filter };
  }

  /** False where somebody stopped it. */
  async count(onPart: OnPart): Promise<boolean> {
    // To count, any next hop will do.
    const via = this.#request.operation === 'reroute' ? { via: 'route' } : {};
    const isWhole = await this.#through({ dryRun: true, ...via }, onPart);
    // From the start again, up to the moment of the count.
    this.#places = this.#places?.map(({ node, until }) => ({ node, done: false, ...(until && { until }) }));
    return isWhole;
  }

  async work(words: Words, onPart: OnPart): Promise<boolean> {
    this.#stopped = false;
    return this.#through(words, onPart);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #through(more: Partial<ChangeRequest>, onPart: OnPart): Promise<boolean> {
    while (!this.#stopped) {
      const places = this.#places === undefined ? {} : { places: this.#places };
      const part = await post<ChangeReply>('queue/change', { ...this.#request, ...more, ...places });
      this.#places = part.places;
      onPart(part);
      if (part.done) return true;
    }
    return false;
  }
}
