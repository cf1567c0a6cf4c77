import { CALL_ERRORS } from '#shared/contract.ts';
import { ERRORS, type ErrorCode } from '#shared/error-codes.ts';
import { specifiers, type Tree, target } from '#test/kit/source-tree.ts';

/** What the sources say of the codes that they can throw: no type tells that of a handler. */

/** The codes that a file makes errors of, and the first arguments of `new SealpostError` that name none. */
export function thrownCodes(text: string): { codes: Set<ErrorCode>; unnamed: string[] } {
  const codes = new Set<ErrorCode>();
  const unnamed: string[] = [];
  for (const { index, 0: call } of text.matchAll(/\bnew SealpostError\(/g)) {
    const argument = firstArgument(text.slice(index + call.length));
    const named = [
      ...[...argument.matchAll(/'([\w-]+)'/g)].flatMap(([, code = '']) => (isCode(code) ? [code] : [])),
      ...[...argument.matchAll(/\bCALL_ERRORS\.(\w+)/g)].map(
        ([, name]) => CALL_ERRORS[name as keyof typeof CALL_ERRORS],
      ),
    ];
    for (const code of named) codes.add(code);
    if (named.length === 0) unnamed.push(argument.trim());
  }
  return { codes, unnamed };
}

const isCode = (text: string): text is ErrorCode => Object.hasOwn(ERRORS, text);

/** The text up to the comma that ends an argument. */
function firstArgument(text: string): string {
  let depth = 0;
  for (const [at, character] of [...text].entries()) {
    if ('([{'.includes(character)) depth++;
    if (')]}'.includes(character)) depth--;
    if (depth < 0 || (depth === 0 && character === ',')) return text.slice(0, at);
  }
  return text;
}

/** The files that run when a file is loaded: itself and what it imports, and so on; imports of types do not run. */
export function loadedFiles(tree: Tree, entry: string): Set<string> {
  const files = new Set<string>();
  const visit = (file: string): void => {
    const text = tree.get(file);
    if (text === undefined || files.has(file)) return;
    files.add(file);
    for (const specifier of specifiers(text.replace(/^(?:import|export) type [^;]*;/gm, ''))) {
      const imported = target(file, specifier);
      if (imported !== undefined) visit(imported);
    }
  };
  visit(entry);
  return files;
}
