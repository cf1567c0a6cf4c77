import { escapeJson, UNPRINTABLE } from '#shared/text.ts';

/** Text for a terminal. Everything that came from outside goes through `clean` before it is printed. */

const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gv');

/** Unprintable characters made visible, so that no header or reply can steer the terminal; lone surrogates replaced. */
export function clean(text: string): string {
  return text.toWellFormed().replace(EACH_UNPRINTABLE, (c) => {
    const code = c.codePointAt(0) ?? 0;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** Like `clean`, of a text of many lines. */
export function cleanLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(clean).join('\t'))
    .join('\n');
}

/** A value as JSON for a program or a terminal. */
export function jsonText(value: unknown, indent = 0): string {
  return escapeJson(JSON.stringify(value, null, indent));
}

/** `text` in at most `width` characters. */
export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** Rows in aligned columns below their names; two spaces between columns, none at the end of a line. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return tableOf(columns, rows)(rows).join('\n');
}

/**
 * A table that is printed in parts: columns as wide as `sample` needs. The function that is returned makes the lines of
 * the next rows, the first ones below the names of the columns.
 */
export function tableOf(
  columns: readonly string[],
  sample: readonly (readonly string[])[],
): (rows: readonly (readonly string[])[]) => string[] {
  const cleaned = (row: readonly string[]): string[] => row.map(clean);
  const cells = [columns, ...sample.map(cleaned)];
  const widths = columns.map((_, i) => cells.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  let head: string[] = [line(columns)];
  return (rows) => {
    const lines = [...head, ...rows.map((row) => line(cleaned(row)))];
    head = [];
    return lines;
  };
}

/** Names and values, one pair a line. */
export function pairs(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${clean(value)}`.trimEnd()).join('\n');
}

/** Text that comes in pieces, cut anywhere, as a terminal may show it: UTF-8, line by line through `cleanLines`. */
export class TerminalText {
  readonly #decoder = new TextDecoder();
  /** A line that has not ended. */
  #line = '';

  take(bytes: Uint8Array): string {
    const text = this.#line + this.#decoder.decode(bytes, { stream: true });
    const end = text.lastIndexOf('\n') + 1;
    this.#line = text.slice(end);
    return cleanLines(text.slice(0, end));
  }

  rest(): string {
    return cleanLines(this.#line + this.#decoder.decode());
  }
}
