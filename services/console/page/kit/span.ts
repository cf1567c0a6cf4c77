import { html } from '/vendor/preact.js';
import { setQuery } from '../state/router.ts';
import { Choice } from './form.ts';

/** How far back a page looks, in hours; the address has it as `hours`, where it is not the usual day. */

const SPANS = [
  ['1', 'Hour'],
  ['24', 'Day'],
  ['168', 'Week'],
  ['720', '30 days'],
] as const;
const USUAL = '24';

export const hoursOf = (query: URLSearchParams): string =>
  SPANS.find(([hours]) => hours === query.get('hours'))?.[0] ?? USUAL;

/** Put it into an address. */
export function setHours(query: URLSearchParams, hours: string): void {
  if (hours !== USUAL) query.set('hours', hours);
}

export function HoursField({ hours }: { hours: string }) {
  return html`<${Choice} label="Time" value=${hours} options=${SPANS}
    onValue=${(value: string) => setQuery({ hours: value === USUAL ? undefined : value })} />`;
}
