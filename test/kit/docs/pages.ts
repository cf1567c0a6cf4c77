import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { listOptions, type OptionText } from '#cluster/config/schema/describe.ts';
import { renderErrors } from './render-errors.ts';

/**
 * Documents that are made from the code, as a whole or from a marker on: `npm run docs` writes them, and a test compares
 * them with what stands there.
 */

export const ROOT = resolve(import.meta.dirname, '../../..');

/** Each generated document, by its path from the root: its text as it should be. */
export const PAGES: Record<string, () => Promise<string>> = {
  'docs/reference/configuration.md': async () => {
    const page = await readFile(join(ROOT, 'docs/reference/configuration.md'), 'utf8');
    return `${page.slice(0, page.indexOf(MARKER) + MARKER.length)}\n\n${optionTables(listOptions())}`;
  },
  'docs/reference/errors.md': async () => renderErrors(),
};

/** What stands before it is written by hand. */
const MARKER = '<!-- The rest is generated from the schema: npm run docs -->';

/** A heading and a table for each section of the configuration, in the order of the schema. */
export function optionTables(options: readonly OptionText[]): string {
  const sections = Map.groupBy(options, ({ path }) => /^[^.[]+/.exec(path)?.[0] ?? path);
  return [...sections]
    .map(([section, own]) => [`## ${section}`, '', ...HEAD, ...own.map(row), ''].join('\n'))
    .join('\n');
}

const HEAD = ['| option | type | default | meaning |', '|---|---|---|---|'];

function row({ path, type, default: value, explanation }: OptionText): string {
  // The forms of durations, sizes and rates stand above the tables.
  const kind = cell(type.replace(/ \(.*\)$/, ''));
  return `| ${[code(path), kind, defaultText(value), cell(explanation)].join(' | ')} |`;
}

/** As it is written in YAML. */
function defaultText(value: string): string {
  if (value === '' || value === 'required') return value;
  return code(/^"[\w.-]+"$/.test(value) ? value.slice(1, -1) : value);
}

const code = (text: string): string => `\`${escapeBar(text)}\``;
const escapeBar = (text: string): string => text.replaceAll('|', '\\|');
/** `<` would begin HTML, `*` emphasis. */
const cell = (text: string): string => escapeBar(text.replaceAll('<', '&lt;').replaceAll('*', '\\*'));
