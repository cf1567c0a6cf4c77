import { html, useEffect, useState } from '/vendor/preact.js';
import { momentText, relativeText } from './format.ts';
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

/** A moment (ms since 1970) as time that has passed, or is left; the moment itself in its title. */
export function Time({ at }: { at: number }) {
  const now = useNow();
  return html`<time datetime=${new Date(at).toISOString()} title=${momentText(at)}>${relativeText(at, now)}</time>`;
}

/** A moment itself, for journeys and logs. */
export function Moment({ at }: { at: number }) {
  return html`<time class="figure" datetime=${new Date(at).toISOString()}>${momentText(at)}</time>`;
}
