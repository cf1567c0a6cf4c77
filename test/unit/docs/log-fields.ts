import { stripTypeScriptTypes } from 'node:module';
import { parse } from 'acorn';
import type { Tree } from '#test/kit/source-tree.ts';

/**
 * The fields that calls of a logger write, read from the source: names in an object literal, in a variable of the file that
 * has one, and in what a function returns, of the file or exported by another. What is spread from elsewhere is in `elsewhere`,
 * for the test to name.
 */
export type LogFields = {
  /** Each field, with the places that write it, `services/x.ts:12`. */
  fields: Map<string, string[]>;
  /** Spreads that nothing of it explains: `services/x.ts ...found`. */
  elsewhere: Set<string>;
};

type Node = { type: string; loc: { start: { line: number } } } & Record<string, unknown>;

const LEVELS = new Set(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'child']);
const LOGGER = /^#?log(?:ger)?$/;
/** Methods with fields of a class that logs for others, with the place of the fields. */
const OF_OTHERS: Readonly<Record<string, number>> = { refused: 2 };

export function logFields(tree: Tree): LogFields {
  const files = [...tree]
    .filter(([, text]) => /\blog\b|\bexport function\b/i.test(text))
    .map(([file, text]) => read(file, text));
  const reader = new Reader(new Map(files.flatMap((file) => [...file.results.keys()].map((name) => [name, file]))));
  for (const file of files) for (const call of file.calls) reader.take(fieldsOf(call), file);
  return reader;
}

type File = { file: string; text: string; values: Map<string, Node[]>; results: Map<string, Node[]>; calls: Node[] };

/** What a file has: variables, what its functions return, and calls of loggers. */
function read(file: string, source: string): File {
  const text = stripTypeScriptTypes(source);
  const root = parse(text, { ecmaVersion: 'latest', sourceType: 'module', locations: true });
  const [values, results, calls] = [new Map<string, Node[]>(), new Map<string, Node[]>(), [] as Node[]];
  for (const node of below(root as unknown as Node)) {
    const { id, init } = node as { id?: Node; init?: Node };
    const name = typeof id?.['name'] === 'string' ? id['name'] : undefined;
    if (node.type === 'FunctionDeclaration' && name !== undefined) results.set(name, returned(node));
    if (node.type === 'VariableDeclarator' && name !== undefined && init != null) {
      if (init.type.includes('Function')) results.set(name, returned(init));
      else values.set(name, [...(values.get(name) ?? []), init]);
    }
    if (node.type === 'CallExpression' && isLogging(node['callee'] as Node)) calls.push(node);
  }
  return { file, text, values, results, calls };
}

class Reader implements LogFields {
  readonly fields = new Map<string, string[]>();
  readonly elsewhere = new Set<string>();
  readonly #functions: ReadonlyMap<string, File>;
  readonly #seen = new Set<Node>();

  constructor(functions: ReadonlyMap<string, File>) {
    this.#functions = functions;
  }

  take(node: Node | undefined, at: File): void {
    if (node === undefined || this.#seen.has(node)) return;
    this.#seen.add(node);
    const name = String(node['name'] ?? (node['callee'] as Node | undefined)?.['name']);
    const home = at.results.has(name) ? at : this.#functions.get(name);
    if (node.type === 'ObjectExpression') this.#object(node, at);
    else if (node.type === 'LogicalExpression') this.take(node['right'] as Node, at);
    else if (node.type === 'ConditionalExpression') {
      this.take(node['consequent'] as Node, at);
      this.take(node['alternate'] as Node, at);
    } else if (node.type === 'Identifier' && at.values.has(name))
      for (const one of at.values.get(name) ?? []) this.take(one, at);
    else if (node.type === 'CallExpression' && home !== undefined)
      for (const one of home.results.get(name) ?? []) this.take(one, home);
    else if (!/Literal$/.test(node.type) && !(node.type === 'Identifier' && name === 'undefined'))
      this.elsewhere.add(`${at.file} ...${source(at.text, node)}`);
  }

  #object(node: Node, at: File): void {
    for (const property of node['properties'] as Node[]) {
      const key = property['key'] as Node | undefined;
      if (property.type === 'SpreadElement') this.take(property['argument'] as Node, at);
      else if (property['computed'] === true) this.elsewhere.add(`${at.file} [${source(at.text, key)}]`);
      else {
        const name = String(key?.['name'] ?? key?.['value']);
        this.fields.set(name, [...(this.fields.get(name) ?? []), `${at.file}:${property.loc.start.line}`]);
      }
    }
  }
}

/** The argument with the fields: before the text, or behind it where a class logs for others. */
function fieldsOf(call: Node): Node | undefined {
  const [first, second, ...rest] = call['arguments'] as Node[];
  const method = ((call['callee'] as Node)['property'] as Node)['name'];
  const place = OF_OTHERS[String(method)];
  if (place !== undefined) return [first, second, ...rest][place];
  const isText = first !== undefined && (/Literal$/.test(first.type) || first['name'] === 'what');
  return isText ? second : first;
}

const source = (text: string, node: Node | undefined): string =>
  text.slice(Number(node?.['start']), Number(node?.['end'])).replace(/\s+/g, ' ');

/** `log.info`, `this.#deps.log.warn`, `log[level]`. */
function isLogging(callee: Node): boolean {
  if (callee.type !== 'MemberExpression') return false;
  const { object, property, computed } = callee as unknown as { object: Node; property: Node; computed: boolean };
  const owner = (object['property'] as Node | undefined)?.['name'] ?? object['name'];
  const method = String(property['name']);
  const logs = LEVELS.has(method) || Object.hasOwn(OF_OTHERS, method);
  return (LOGGER.test(String(owner)) && (computed || logs)) || (object.type === 'ThisExpression' && LEVELS.has(method));
}

/** What a function returns, its inner functions apart. */
function returned(fn: Node): Node[] {
  const body = fn['body'] as Node;
  if (body.type !== 'BlockStatement') return [body];
  return [...below(body, (node) => node.type.includes('Function'))].flatMap((node) =>
    node.type === 'ReturnStatement' && node['argument'] != null ? [node['argument'] as Node] : [],
  );
}

/** A node and all below it, but for those below one that `closed` names. */
function* below(node: Node, closed: (node: Node) => boolean = () => false): Generator<Node> {
  yield node;
  if (closed(node)) return;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value])
      if (typeof (child as Node | null)?.type === 'string') yield* below(child as Node, closed);
  }
}
