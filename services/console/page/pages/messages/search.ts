import type { FoundRow, MessageList } from '#services/console/schemas/messages.ts';
import { useCallback, useEffect, useRef, useState } from '/vendor/preact.js';
import { ApiProblem, get, type Query, queryText } from '../../state/api.ts';

/** A search, read page by page as somebody scrolls; each page is a short piece of work of the servers. */

export type Found = {
  rows: readonly FoundRow[];
  /** There is more; `reached`: down to when all was looked through. */
  more: boolean;
  reached: number | undefined;
  loading: boolean;
  problem: ApiProblem | undefined;
  silent: MessageList['silent'];
  unreadable: number;
  /** Read on. */
  readMore: () => void;
  /** Begin again. */
  reload: () => Promise<void>;
};

type State = Omit<Found, 'readMore' | 'reload' | 'more'> & { asked: string; next: string | undefined; read: boolean };

const EMPTY = { rows: [], next: undefined, reached: undefined, problem: undefined, silent: [], unreadable: 0 };
/** Rows that fill a screen: rare mail is looked for over more pages until there are so many. */
const SCREEN = 40;

export function useSearch(query: Query): Found {
  const asked = queryText(query);
  const [state, setState] = useState<State>({ ...EMPTY, asked, loading: true, read: false });
  const running = useRef<AbortController | undefined>(undefined);

  const read = useCallback(
    async (below: string | undefined, before: readonly FoundRow[]): Promise<void> => {
      running.current?.abort();
      const attempt = new AbortController();
      running.current = attempt;
      setState((old) => ({ ...old, problem: undefined, loading: true }));
      let [rows, next] = [before, below];
      try {
        do {
          const page: MessageList = await get('messages', { ...query, below: next, limit: 100 }, attempt.signal);
          if (attempt.signal.aborted) return;
          rows = [...rows, ...page.rows];
          next = page.next;
          const { silent, unreadable, reached } = page;
          const loading = next !== undefined && rows.length - before.length < SCREEN;
          setState({ asked, rows, next, reached, silent, unreadable, problem: undefined, loading, read: true });
        } while (next !== undefined && rows.length - before.length < SCREEN);
      } catch (error) {
        if (attempt.signal.aborted) return;
        const problem = error instanceof ApiProblem ? error : new ApiProblem(0, 'page', String(error));
        setState((old) => ({ ...old, asked, problem, loading: false }));
      }
    },
    [asked],
  );

  useEffect(() => {
    void read(undefined, []);
    return () => running.current?.abort();
  }, [read]);

  const isOld = state.asked !== asked;
  return {
    ...state,
    loading: state.loading || isOld,
    more: state.next !== undefined,
    readMore: () => {
      if (!state.loading && !isOld && state.next !== undefined) void read(state.next, state.rows);
    },
    reload: () => read(undefined, []),
  };
}
