import { useEffect, useState } from '/vendor/preact.js';
import { Store } from './store.ts';

/** One clock for all that shows how long ago something was. It ticks once a second while somebody looks. */
const clock = new Store(Date.now());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** ms since 1970, renewed each second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    users++;
    timer ??= setInterval(() => clock.set(Date.now()), 1000);
    const end = clock.subscribe(setNow);
    return () => {
      end();
      users--;
      if (users > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, []);
  return now;
}
