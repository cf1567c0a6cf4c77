import { Document, isMap, type YAMLMap } from 'yaml';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';

/** The sealpost.yaml that an import makes, option by option: `relay.allow.hosts`. */
export class Draft {
  readonly #data: Record<string, unknown> = {};

  /** Set an option, whatever it was. */
  set(path: string, value: unknown): void {
    const { parent, key } = this.#place(path);
    parent[key] = value;
  }

  /** Add to a list what is not in it. */
  add(path: string, ...values: readonly unknown[]): void {
    const { parent, key } = this.#place(path);
    const list = (parent[key] ?? []) as unknown[];
    const known = new Set(list.map((v) => JSON.stringify(v)));
    for (const value of values) {
      const text = JSON.stringify(value);
      if (known.has(text)) continue;
      known.add(text);
      list.push(value);
    }
    if (list.length > 0) parent[key] = list;
  }

  /** Add an entry to a list, or to the entry there that has the same `key`. */
  merge(path: string, key: string, entry: object): void {
    const list = (this.get(path) ?? []) as Record<string, unknown>[];
    const name = (entry as Record<string, unknown>)[key];
    const there = list.find((e) => e[key] === name);
    if (there === undefined) this.set(path, [...list, { ...entry }]);
    else Object.assign(there, entry);
  }

  get(path: string): unknown {
    return path
      .split('.')
      .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], this.#data);
  }

  /** The configuration as data, in the order of the schema. */
  get data(): Record<string, unknown> {
    const sections = Object.keys(ConfigSchema.shape).filter((key) => Object.hasOwn(this.#data, key));
    return Object.fromEntries(sections.map((key) => [key, this.#data[key]]));
  }

  /** The configuration as a file; `head` is a comment above it. */
  yaml(head: string): string {
    const document = new Document(this.data);
    document.commentBefore = ` ${head}`;
    for (const pair of (document.contents as YAMLMap).items) flowInside(pair.value);
    return document.toString({ lineWidth: 0 });
  }

  #place(path: string): { parent: Record<string, unknown>; key: string } {
    const keys = path.split('.');
    const key = keys.pop() ?? '';
    let parent = this.#data;
    for (const name of keys) {
      parent[name] ??= {};
      parent = parent[name] as Record<string, unknown>;
    }
    return { parent, key };
  }
}

/** Entries of lists on a line each, as the documents show them. */
function flowInside(value: unknown): void {
  if (!(value instanceof Object) || !('items' in value)) return;
  for (const item of value.items as unknown[]) {
    if (isMap(item)) item.flow = true;
  }
}
