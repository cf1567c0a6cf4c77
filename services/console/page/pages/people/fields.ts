import { html } from '/vendor/preact.js';
import { Note } from '../../kit/badge.ts';

/** What the forms have in common. */

export type FormProps = { onClose: () => void; after: () => unknown };

export const lines = (text: string): string[] => text.split(/[\s,]+/).filter((line) => line !== '');

/** Names may have blanks in them. */
export const names = (text: string): string[] =>
  text
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter((line) => line !== '');

export function FirstEntry() {
  return html`<${Note} tone="warn" title="This is the first entry of the directory.">From now on a recipient of a local domain is refused unless a directory has the address.<//>`;
}
