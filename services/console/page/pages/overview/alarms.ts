import type { Alarm } from '#services/console/schemas/overview.ts';
import { html, useState } from '/vendor/preact.js';
import { Note, type Tone } from '../../kit/badge.ts';
import { Prose } from '../../kit/layout.ts';

/** What needs a hand, the worst first, each with what to do. */

const TONES: Record<Alarm['severity'], Tone> = { error: 'bad', warning: 'warn', note: 'info' };
const SHOWN = 6;

export function Alarms({ alarms }: { alarms: readonly Alarm[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? alarms : alarms.slice(0, SHOWN);
  const rest = alarms.length - shown.length;
  return html`<section class="stack alarms" aria-label="What needs a hand">
    <ul class="stack">
      ${shown.map(
        ({ severity, about, text, help }) => html`<li key=${`${about} ${text}`}>
          <${Note} tone=${TONES[severity]}>
            <p><span class="unseen">${severity}: </span><strong>${about}</strong>: <${Prose} text=${text} />.</p>
            <p><${Prose} text=${sentence(help)} /></p>
          <//>
        </li>`,
      )}
    </ul>
    ${rest > 0 && html`<button type="button" class="small show-all" onClick=${() => setAll(true)}>Show ${rest} more</button>`}
  </section>`;
}

/** A clause, as findings are, with its capital and its full stop. */
function sentence(clause: string): string {
  return `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`;
}
