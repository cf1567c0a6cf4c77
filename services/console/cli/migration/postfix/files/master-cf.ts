import { basename } from 'node:path';
import { logicalLines } from './main-cf.ts';

/**
 * master.cf: master(5). A line is a service: name, type, five columns, a command with its arguments. `-o name=value`
 * changes a parameter for this service alone.
 */

export type MasterService = {
  line: number;
  text: string;
  /** `smtp`, `127.0.0.1:10025`. */
  name: string;
  /** `inet`, `unix` … */
  type: string;
  /** `smtpd`. */
  command: string;
  own: Map<string, string>;
};
export type MasterCf = { services: MasterService[]; stray: { line: number; text: string }[] };

export function parseMasterCf(text: string): MasterCf {
  const result: MasterCf = { services: [], stray: [] };
  for (const { line, text: content } of logicalLines(text)) {
    const [name, type, , , , , , command, ...args] = content.split(/\s+/);
    if (name === undefined || type === undefined || command === undefined) {
      result.stray.push({ line, text: content });
      continue;
    }
    const own = overrides(args.join(' '));
    result.services.push({ line, text: content, name, type, command: basename(command), own });
  }
  return result;
}

/** `-o name=value`, also `-o { name = value }` and `-oname=value`. Of a value without braces, the first blank ends it. */
function overrides(text: string): Map<string, string> {
  const found = new Map<string, string>();
  const pattern = /(?:^|\s)-o\s*(?:\{\s*([\w.-]+)\s*=\s*((?:[^{}]|\{[^{}]*\})*?)\s*\}|([\w.-]+)=(\S*))/g;
  for (const [, name, value, plainName, plainValue] of text.matchAll(pattern)) {
    found.set(name ?? plainName ?? '', value ?? plainValue ?? '');
  }
  return found;
}
