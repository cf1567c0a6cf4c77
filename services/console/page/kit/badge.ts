import { html } from '/vendor/preact.js';
import { Icon, type IconName } from './icon.ts';

/** States as a word with a sign; colour only repeats what they say. */

/** `idle`: neither good nor bad, as what has ended or is off. `wait`: something is to come. */
export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'wait' | 'idle';

const SIGNS: Record<Tone, IconName> = {
  good: 'check',
  warn: 'warning',
  bad: 'error',
  info: 'info',
  wait: 'waiting',
  idle: 'minus',
};

/** `<${Badge} tone="good">delivered<//>` */
export function Badge({ tone, title, children }: { tone: Tone; title?: string; children?: unknown }) {
  return html`<span class=${`badge ${tone}`} title=${title}><${Icon} name=${SIGNS[tone]} />${children}</span>`;
}

/** A note in the page that says what is wrong, or worth knowing, and what to do. */
export function Note({ tone, title, children }: { tone: Tone; title?: unknown; children?: unknown }) {
  return html`<div class=${`note ${tone}`}>
    <${Icon} name=${SIGNS[tone]} />
    <div>${title && html`<strong>${title}</strong>`}${children && html`<div class="note-text">${children}</div>`}</div>
  </div>`;
}
