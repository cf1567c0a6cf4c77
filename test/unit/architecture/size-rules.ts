import { dirname } from 'node:path';
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

export function longFiles(tree: Tree): string[] {
  return [...tree]
    .filter(([, text]) => text.split('\n').length - 1 > LONGEST_FILE && !EXCUSE.test(text))
    .map(([file, text]) => `${file} has ${text.split('\n').length - 1} lines`);
}

/** A line that opens the body of a function: a declaration, a method, or an arrow function with a name. */
const OPENING =
  /^(\s*)(?:(?:export )?(?:default )?(?:async )?function\b.*|(?:static |async |override |get |set |\*)*#?[\w$]+(?:<.*>)?\(.*|(?:export )?const [\w$]+(?:: .*)? = (?:async )?(?:\(.*|[\w$]+ =>.*)|(?:readonly )?#?[\w$]+: (?:async )?\(.*)$/;
/** The end of what looks like a function and is a statement. */
const STATEMENT = /^\s*(?:if|for|while|switch|catch|return|await|throw|else|new|super|using)\b/;

/**
 * Functions with more lines than fit on a screen, unless the comment before them says why. The formatter closes every
 * body at the indentation of the line that opened it, which is how its end is found.
 */
export function longFunctions(tree: Tree): string[] {
  const found: string[] = [];
  for (const [file, text] of tree) {
    const lines = text.split('\n');
    for (const [at, line] of lines.entries()) {
      const length = functionLength(lines, at);
      if (length > LONGEST_FUNCTION && !EXCUSE.test(commentBefore(lines, at))) {
        found.push(`${file}:${at + 1} ${line.trim()} … has ${length} lines`);
      }
    }
  }
  return found;
}

/** Lines of the function that opens at a line, with its first and last; 0 where none does. */
function functionLength(lines: readonly string[], at: number): number {
  const line = lines[at] ?? '';
  const indent = OPENING.exec(line)?.[1];
  if (indent === undefined || STATEMENT.test(line)) return 0;
  const level = new RegExp(`^${indent}[^\\s]`);
  let body = / => \{$|\) \{$|\{$/.test(line);
  for (let end = at + 1; end < lines.length; end++) {
    const next = lines[end] ?? '';
    if (!level.test(next)) continue;
    // A signature of several lines ends with a line that opens the body.
    if (!body && /^\s*\).*\{$/.test(next)) body = true;
    else return body && /^\s*\}/.test(next) ? end - at + 1 : 0;
  }
  return 0;
}

function commentBefore(lines: readonly string[], at: number): string {
  let start = at;
  while (/^\s*(?:\/\*\*|\*|\/\/)/.test(lines[start - 1] ?? '')) start--;
  return lines.slice(start, at).join('\n');
}
