import { isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type YAMLError } from 'yaml';
import { errorText } from '#shared/errors.ts';
import type { Problem } from './problem.ts';

/** A YAML file as plain data, with the way back from a path to its line. */
export type YamlFile = { data: unknown; problems: Problem[]; lineOf(path: readonly PropertyKey[]): number | undefined };

/** Parse one YAML document. What YAML itself objects to (duplicate keys, bad indentation) comes as problems. */
export function parseYaml(text: string): YamlFile {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const all = 'empty' in documents ? [] : documents;
  const problems: Problem[] = all
    .flatMap((document) => [...document.errors, ...document.warnings])
    .map((error) => ({ path: [], line: lines.linePos(error.pos[0]).line, message: explain(error) }));
  const [first, second] = all;
  if (second !== undefined && problems.length === 0) {
    const line = lines.linePos(second.range[0]).line;
    problems.push({ path: [], line, message: 'a second YAML document begins here: put everything into one' });
  }
  const root = first?.contents;
  let data: unknown;
  try {
    if (problems.length === 0) data = toData(first);
  } catch (error) {
    // Anchors whose aliases grow without measure.
    problems.push({ path: [], line: undefined, message: `not valid YAML: ${errorText(error)}` });
  }
  return {
    data,
    problems,
    lineOf: (path) => {
      const offset = offsetOf(root, path);
      return offset === undefined ? undefined : lines.linePos(offset).line;
    },
  };
}

/** An empty file is an empty configuration. */
function toData(document: { toJS(): unknown } | undefined): unknown {
  return document?.toJS() ?? {};
}

/** Where the deepest part of `path` that exists in the file begins. */
function offsetOf(root: unknown, path: readonly PropertyKey[]): number | undefined {
  let node = root;
  let offset: number | undefined;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) break;
      offset = isScalar(pair.key) ? pair.key.range?.[0] : offset;
      node = pair.value;
    } else if (isSeq(node) && typeof key === 'number') {
      node = node.items[key];
      const range = isScalar(node) || isMap(node) || isSeq(node) ? node.range : undefined;
      offset = range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

/** The library's words, except where an administrator would not find the cause by them. */
function explain(error: YAMLError): string {
  if (error.code === 'DUPLICATE_KEY') return 'this key stands twice in the same place';
  if (error.code === 'TAB_AS_INDENT') return 'a tab cannot indent YAML: use spaces';
  if (error.code === 'BAD_ALIAS' || /alias/i.test(error.message)) {
    return 'a value that begins with * must be quoted: write "*"';
  }
  return `not valid YAML: ${error.message}`;
}
