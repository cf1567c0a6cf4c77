import { styleText } from 'node:util';
import { UNPRINTABLE } from './text.ts';

/**
 * A line of the log for a person at a terminal: time, level, service and message, then the fields.
 *
 *   14:03:12.345 info  listener  session closed  session=0k2j… reason="client quit"
 */

type Style = Parameters<typeof styleText>[0];

const STYLES: Record<string, Style> = { warn: 'yellow', error: 'red', fatal: ['red', 'bold'] };

/** A value that needs no quotes. */
const PLAIN = /^[^\s"'=\\{}[\]]+$/;

const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gv');

/** `line` is a line of JSON as pino makes it. The stack of an error that was not expected follows on lines of its own. */
export function humanLine(line: string, colors: boolean): string {
  const { level, time, service, msg, err, ...fields } = JSON.parse(line);
  const style = (how: Style, text: string): string => (colors ? styleText(how, text, { validateStream: false }) : text);
  const named = Object.entries(fields).map(([name, value]) => `${style('dim', `${name}=`)}${shown(value)}`);
  const parts = [
    style('dim', localTime(String(time))),
    style(STYLES[level] ?? 'dim', String(level).padEnd(5)),
    ...(service === undefined ? [] : [style('cyan', String(service))]),
    printed(String(msg ?? '')),
    ...named,
  ];
  return `${parts.join(' ')}\n${err === undefined ? '' : stackOf(err)}`;
}

function shown(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return printed(value);
  return printed(JSON.stringify(value));
}

/** Nothing from outside steers the terminal. */
function printed(text: string): string {
  return text.replace(EACH_UNPRINTABLE, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);
}

function stackOf(err: { stack?: string; message?: string }): string {
  const lines = String(err.stack ?? err.message ?? JSON.stringify(err)).split('\n');
  return lines.map((line) => `    ${printed(line)}\n`).join('');
}

function localTime(time: string): string {
  const date = new Date(time);
  const pad = (n: number, width: number): string => String(n).padStart(width, '0');
  return `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}.${pad(date.getMilliseconds(), 3)}`;
}
