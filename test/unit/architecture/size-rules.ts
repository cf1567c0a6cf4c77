import { stripTypeScriptTypes } from 'node:module';
import { dirname } from 'node:path';
import { parse } from 'acorn';
import type { Tree } from '#test/kit/source-tree.ts';

/** How much a reader takes in at once: files of a folder, lines of a file, lines of a function. */

export const LONGEST_FILE = 300;
export const LONGEST_FUNCTION = 50;
export const MOST_FILES = 16;

/** A file or a function that is longer says why in a comment: `long because …`. */
const EXCUSE = /\blong because \S/;

/** Folders with more files than a reader takes in at a glance. `excused`: folder → why a list is the point there. */
export function crowdedFolders(files: Iterable<string>, excused: Readonly<Record<string, string>>): string[] {
  const counts = new Map<string, number>();
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  return [...counts]
    .filter(([folder, count]) => count > MOST_FILES && excused[folder] === undefined)
    .map(([folder, count]) => `${folder} has ${count} files`);
}

/** Excuses of folders that are not crowded. */
export function idleExcuses(files: Iterable<string>, excused: Readonly<Record<string, string>>): string[] {
  const crowded = new Set(crowdedFolders(files, {}).map((line) => line.replace(/ has \d+ files$/, '')));
  return Object.keys(excused).filter((folder) => !crowded.has(folder));
}

/** Files with more lines than a reader takes in, unless the comment at their head says why. */
export function longFiles(tree: Tree): string[] {
  return [...tree]
    .filter(([, text]) => lineCount(text) > LONGEST_FILE && !EXCUSE.test(headOf(text)))
    .map(([file, text]) => `${file} has ${lineCount(text)} lines`);
}

/** Functions with more lines than fit on a screen, unless the comment before them says why. */
export function longFunctions(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    const lines = text.split('\n');
    if (lines.length <= LONGEST_FUNCTION) return [];
    return functionsIn(text)
      .filter(({ first, last }) => last - first + 1 > LONGEST_FUNCTION && !EXCUSE.test(commentBefore(lines, first)))
      .map(({ first, last }) => `${file}:${first} ${lines[first - 1]?.trim()} … has ${last - first + 1} lines`);
  });
}

/** Files with the words of an excuse that excuse nothing. */
export function idleLengthExcuses(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    const given = [...text.matchAll(new RegExp(EXCUSE, 'g'))].length;
    if (given === 0) return [];
    const needed = lineCount(text) > LONGEST_FILE && EXCUSE.test(headOf(text)) ? 1 : 0;
    const lines = text.split('\n');
    const functions = functionsIn(text).filter(
      ({ first, last }) => last - first + 1 > LONGEST_FUNCTION && EXCUSE.test(commentBefore(lines, first)),
    );
    return given > needed + functions.length ? [file] : [];
  });
}

const lineCount = (text: string): number => text.split('\n').length - 1;

/** What stands before the first declaration: imports and the comment at the head. */
function headOf(text: string): string {
  const head = /^(?:import\b[^;]*;\s*|\/\/.*\s*)*(\/\*\*[\s\S]*?\*\/)/.exec(text);
  return head?.[1] ?? '';
}

type Node = { type: string; loc: { start: { line: number }; end: { line: number } } };

/** First and last line of every function, however it is written. Types are blanked out, so that lines stay. */
function functionsIn(text: string): { first: number; last: number }[] {
  const found: { first: number; last: number }[] = [];
  const visit = (node: object): void => {
    const { type, loc } = node as Node;
    if (/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(type)) {
      found.push({ first: loc.start.line, last: loc.end.line });
    }
    for (const value of Object.values(node).flat()) {
      if (typeof value === 'object' && value !== null && 'type' in value) visit(value);
    }
  };
  visit(parse(stripTypeScriptTypes(text), { ecmaVersion: 'latest', sourceType: 'module', locations: true }));
  return found;
}

/** The comment that ends in the line before; lines count from 1. */
function commentBefore(lines: readonly string[], line: number): string {
  let start = line - 1;
  while (/^\s*(?:\/\*\*|\*|\/\/)/.test(lines[start - 1] ?? '')) start--;
  return lines.slice(start, line - 1).join('\n');
}
