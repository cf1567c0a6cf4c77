import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';
import { Choice } from '../../kit/form.ts';
import { listText } from '../../kit/format.ts';
import { HoursField, hoursOf, setHours } from '../../kit/span.ts';
import { Time } from '../../kit/time.ts';
import { setQuery } from '../../state/router.ts';

/** What of the ledger is shown, as the address has it, and what is missing from an answer. */

export type Direction = 'in' | 'out';

const DIRECTIONS = [
  ['out', 'Mail that left'],
  ['in', 'Mail that came'],
] as const;

export type Selection = { direction: Direction; hours: string };

export function selectionOf(query: URLSearchParams): Selection {
  return { direction: query.get('direction') === 'in' ? 'in' : 'out', hours: hoursOf(query) };
}

/** As part of an address; nothing where it is what is shown anyway. */
export function selectionText({ direction, hours }: Selection): string {
  const query = new URLSearchParams();
  if (direction === 'in') query.set('direction', direction);
  setHours(query, hours);
  return query.size === 0 ? '' : `?${query}`;
}

export function SelectionFields({ direction, hours }: Selection) {
  return html`
    <${Choice} label="Direction" value=${direction} options=${DIRECTIONS}
      onValue=${(value: Direction) => setQuery({ direction: value === 'out' ? undefined : value })} />
    <${HoursField} hours=${hours} />
  `;
}

/** Which nodes and what time are not in it. */
export function Missing({ silent, since }: { silent: readonly string[]; since?: number | undefined }) {
  return html`
    ${silent.length > 0 && html`<${Note} tone="warn" title=${`Without what ${listText(silent)} knows: no answer came.`} />`}
    ${
      since !== undefined &&
      html`<${Note} tone="info" title=${html`Only mail that came <${Time} at=${since} /> or later was looked at.`}>
        There is more of it than can be read while you wait: choose a shorter time, or let <code>sealpost tls ledger</code> read all of it.
      <//>`
    }
  `;
}
