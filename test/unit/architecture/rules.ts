import { dirname, join, normalize } from 'node:path';

/**
 * The rules of the source tree that no compiler checks, as functions over the files of a tree: path from the root → text.
 * `rules.test.ts` shows that each can fail; `architecture.test.ts` holds them against this tree.
 */

export type Tree = ReadonlyMap<string, string>;

export const LONGEST_FILE = 300;
export const LONGEST_FUNCTION = 50;
export const MOST_FILES = 16;

/** A file or a function that is longer says why in a comment: `long because …`. */
const EXCUSE = /\blong because \S/;

/** Every module that a file names: import, export … from, import(). */
export function specifiers(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].flatMap((match) => match[2] ?? []);
}

/** The file of ours that a specifier means, from the root; undefined for packages and Node's own modules. */
export function target(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  return specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined;
}

/** The walls: what stands behind one names its neighbours by `./`, what stands elsewhere by `#`. */
function room(file: string): string {
  const [area = '', service = '', inside] = file.split('/');
  return area === 'services' && inside !== undefined ? `services/${service}` : area;
}

/** Why a file must not import another one; undefined where it may. */
export function objection(file: string, imported: string): string | undefined {
  const [from, to] = [room(file), room(imported)];
  if (imported === 'services/node.ts') {
    return file.startsWith('services/console/cli/') ? undefined : 'only the command line starts a node';
  }
  if (file.startsWith('services/console/reports/') && imported.startsWith('services/console/cli/')) {
    return 'reports know nothing of the command line';
  }
  if (to === from || to === 'shared') return undefined;
  if (to === 'test') return 'nothing that ships imports tests';
  if (from === 'shared') return 'shared knows nothing of ours but itself';
  if (to === 'cluster') return undefined;
  if (from === 'cluster') return 'the runtime knows no service';
  const contract = /^services\/[^/]+\/contract\.ts$/.test(imported);
  if (file === 'services/node.ts') {
    return contract || /\/service\.ts$/.test(imported) || imported === 'services/topology.ts'
      ? undefined
      : 'the composition root sees the contracts and the services themselves, not what is inside of them';
  }
  if (file === 'services/topology.ts') return contract ? undefined : 'the topology sees contracts only';
  return contract || imported === 'services/topology.ts' ? undefined : 'of another service only contract.ts is seen';
}

/** Imports that break the walls, or are spelled as if they crossed one, or as if they did not. */
export function brokenImports(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) =>
    specifiers(text).flatMap((specifier) => {
      const imported = target(file, specifier);
      if (imported === undefined) return [];
      const reason = objection(file, imported) ?? misspelling(file, imported, specifier);
      return reason === undefined ? [] : [`${file} imports ${specifier}: ${reason}`];
    }),
  );
}

function misspelling(file: string, imported: string, specifier: string): string | undefined {
  const inside = room(file) === room(imported);
  if (inside && specifier.startsWith('#')) return 'within one wall the path is relative';
  return inside || specifier.startsWith('#') ? undefined : 'across a wall the path begins with #';
}

/** Files that import each other in a loop, each loop as one line. Imports of types count. */
export function circles(tree: Tree): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) found.push([...path.slice(start), file].join(' → '));
    if (start >= 0 || done.has(file)) return;
    for (const specifier of specifiers(tree.get(file) ?? '')) {
      const imported = target(file, specifier);
      if (imported !== undefined && tree.has(imported)) visit(imported, [...path, file]);
    }
    done.add(file);
  };
  for (const file of tree.keys()) visit(file, []);
  return found;
}

/** Folders with more files than a reader takes in at a glance. `excused`: folder → why a list is the point there. */
export function crowdedFolders(files: Iterable<string>, excused: Readonly<Record<string, string>>): string[] {
  const counts = new Map<string, number>();
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  return [...counts]
    .filter(([folder, count]) => count > MOST_FILES && excused[folder] === undefined)
    .map(([folder, count]) => `${folder} has ${count} files`);
}

/** Excuses that nobody needs any more. */
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
