import { useCallback, useEffect, useRef, useState } from '/vendor/preact.js';
import { ApiProblem, get, type Query, queryText } from './api.ts';

/** What a page reads of the API, as state of a component. */

export type Loaded<T> = {
  /** The last that was read: also while it is read again, and where that failed. */
  data: T | undefined;
  problem: ApiProblem | undefined;
  loading: boolean;
  /** Read it again; resolves when that is done. */
  reload: () => Promise<void>;
};

type State<T> = Omit<Loaded<T>, 'reload'> & { path: string | undefined };
/** No answer takes so long: a console that hangs is asked again. */
const PATIENCE_MS = 60_000;
const NOTHING = { data: undefined, problem: undefined, loading: true };

/**
 * Read `/api/<path>`, again whenever path or query change, and each `every` ms while the page is visible. An undefined
 * path reads nothing. Another query keeps what is shown until the answer is there; another path does not.
 */
export function useData<T>(path: string | undefined, query: Query = {}, every?: number): Loaded<T> {
  const address = path === undefined ? undefined : `${path}${queryText(query)}`;
  const [state, setState] = useState<State<T>>({ ...NOTHING, path });
  const running = useRef<AbortController | undefined>(undefined);
  const reload = useCallback(async () => {
    running.current?.abort();
    if (address === undefined) return;
    const attempt = new AbortController();
    const { signal } = attempt;
    running.current = attempt;
    // What is shown stays until the answer is there, a problem too: it would be read out again each time.
    setState((old) => (old.path === path ? { ...old, loading: true } : { ...NOTHING, path }));
    try {
      const data = await get<T>(address, {}, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
      if (!signal.aborted) setState({ path, data, problem: undefined, loading: false });
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof ApiProblem ? error : new ApiProblem(0, 'page', String(error));
      setState((old) => ({ ...old, problem, loading: false }));
    } finally {
      if (running.current === attempt) running.current = undefined;
    }
  }, [path, address]);

  useEffect(() => {
    void reload();
    // An answer that takes longer than `every` is waited for: reading again would give it up, each time.
    const again = (): void => void (document.hidden || running.current !== undefined || reload());
    const timer = every === undefined ? undefined : setInterval(again, every);
    return () => {
      clearInterval(timer);
      running.current?.abort();
    };
  }, [reload, every]);
  // In the render that follows another path, the state is still that of the one before.
  return state.path === path ? { ...state, reload } : { ...NOTHING, reload };
}
