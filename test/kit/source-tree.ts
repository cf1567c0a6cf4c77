import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The files of this project as text, and which of them each one names. */

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Path from the root → text. */
export type Tree = ReadonlyMap<string, string>;

/** The files that match a pattern, in the order of their paths. */
export function readTree(pattern: string): Tree {
  const files = globSync(pattern, { cwd: ROOT }).toSorted();
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]));
}

/** Before the name of a module: `from`, `import`, `import(`, `require(`. */
const NAMING = String.raw`(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(?:\/\*.*?\*\/\s*)?`;

/** Every module that a file names: import, export … from, import(), also of types, require(). */
export function specifiers(text: string): string[] {
  return [...text.matchAll(new RegExp(`${NAMING}(['"\`])([^'"\`\n]+)\\1`, 'gs'))].flatMap((match) => match[2] ?? []);
}

/** `import(…)` and `require(…)` of what is not a literal, or is a template with a value in it. */
export function computedImports(text: string): string[] {
  const calls = text.matchAll(/\b(?:import|require)\s*\(\s*(?:\/\*.*?\*\/\s*)?([^)\n]*)/g);
  return [...calls].flatMap(([call, argument = '']) => (/^(['"`])[^'"`$]+\1\s*(?:,.*)?$/.test(argument) ? [] : [call]));
}

/** The file of ours that a specifier means, from the root; undefined for packages and Node's own modules. */
export function target(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  return specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined;
}
