import pino from 'pino';
import type { Logger } from '#shared/log.ts';

export type LogLine = { level: string; msg: string; [field: string]: unknown };

/** A logger whose lines a test can read. */
export function logLines(): { log: Logger; lines: () => LogLine[] } {
  const lines: LogLine[] = [];
  const write = (text: string) => void lines.push(JSON.parse(text));
  const log = pino({ level: 'trace', formatters: { level: (label) => ({ level: label }) } }, { write });
  return { log, lines: () => lines };
}
