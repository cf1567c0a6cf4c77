import { html } from '/vendor/preact.js';
import { useNow } from '../state/clock.ts';
import { momentText, relativeText } from './format.ts';

/** A moment (ms since 1970) as time that has passed, or is left; the moment itself in its title. */
export function Time({ at }: { at: number }) {
  const now = useNow();
  return html`<time datetime=${new Date(at).toISOString()} title=${momentText(at)}>${relativeText(at, now)}</time>`;
}

/** A moment itself, for journeys and logs. */
export function Moment({ at }: { at: number }) {
  return html`<time class="figure" datetime=${new Date(at).toISOString()}>${momentText(at)}</time>`;
}
