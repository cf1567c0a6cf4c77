import { clean } from '../../table.ts';

/**
 * A line of CSV (RFC 4180). A text that spreadsheets would take for a formula gets an apostrophe in front, and what would
 * steer a terminal is escaped: peers choose much of it.
 */
export function csvLine(cells: readonly (string | number | undefined)[]): string {
  return `${cells.map((cell) => csvCell(cell === undefined ? '' : String(cell))).join(',')}\r\n`;
}

function csvCell(text: string): string {
  const shown = clean(text);
  const safe = /^\s*[=+\-@]/.test(shown) ? `'${shown}` : shown;
  return /[",\r\n']/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}
