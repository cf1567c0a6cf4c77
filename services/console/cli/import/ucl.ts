import { SealpostError } from '#shared/errors.ts';

/**
 * A strict reader of the part of UCL that rspamd's dkim_signing.conf is written in:
 *
 *   entry    name value | name [=|:] value | name "label" { … }      ended by ; , or the end of the line
 *   value    "text with \escapes" | 'text' | bare word | { entries } | [ values ]
 *   comment  # to the end of the line | /* … *\/, also within one another
 *   macro    .include(…) "file"       not followed, but handed back
 *
 * A name that stands there again makes its value a list, as in UCL. Everything else (here-documents, blocks in blocks
 * without end) fails with `ucl-syntax` and the line.
 */
export type UclValue = string | UclObject | UclValue[];
export type UclEntry = { line: number; value: UclValue };
export type UclObject = { entries: Map<string, UclEntry> };
export type UclFile = UclObject & { macros: { line: number; text: string }[] };

/** The blocks of a value that is one, or a list of them; undefined where something else is among them. */
export function blocksOf(value: UclValue): UclObject[] | undefined {
  const all = [value].flat() as UclValue[];
  const blocks = all.filter(isObject);
  return blocks.length === all.length ? blocks : undefined;
}

/** The texts of a list of them; undefined where it is something else. */
export function textsOf(value: UclValue): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}

export const isObject = (value: UclValue): value is UclObject => typeof value === 'object' && !Array.isArray(value);

/** Read a text; `file` names it in errors. */
export function parseUcl(text: string, file: string): UclFile {
  const reader = new Reader(text, file);
  const { entries } = reader.entries(undefined);
  return { entries, macros: reader.macros };
}

/** Deeper than any file that means something. */
const DEEPEST = 50;
const BARE = /[^\s;,{}[\]"'#=:][^\s;,{}[\]"'#]*/y;
const NAME = /[A-Za-z0-9_$*@.-]+/y;

class Reader {
  readonly macros: { line: number; text: string }[] = [];
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  /** Entries up to `end`, which is taken too; undefined: to the end of the file. */
  entries(end: '}' | undefined): UclObject {
    const began = this.#line();
    const entries = new Map<string, UclEntry>();
    for (;;) {
      this.#skip(/[\s;,]*/y);
      if (this.#at >= this.#text.length) {
        if (end === undefined) return { entries };
        throw this.#fail(`the { is never closed`, began);
      }
      if (this.#peek() === '}') {
        if (end === undefined) throw this.#fail('a } closes nothing');
        this.#at++;
        return { entries };
      }
      if (this.#peek() === '.') this.#macro();
      else this.#entry(entries);
    }
  }

  #entry(entries: Map<string, UclEntry>): void {
    const line = this.#line();
    const name = this.#quoted() ?? this.#take(NAME);
    if (name === undefined) throw this.#fail(`"${this.#rest()}" is not understood`);
    this.#skip(/[ \t]*[=:]?/y);
    const value = this.#value(name);
    const before = entries.get(name);
    if (before === undefined) entries.set(name, { line, value });
    else before.value = [before.value, value].flat();
  }

  #value(name: string): UclValue {
    if (++this.#depth > DEEPEST) throw this.#fail(`${name} stands in more than ${DEEPEST} blocks`);
    const value = this.#valueWithin(name);
    this.#depth--;
    return value;
  }

  #valueWithin(name: string): UclValue {
    this.#skip(/\s*/y);
    switch (this.#peek()) {
      case '{':
        this.#at++;
        return this.entries('}');
      case '[':
        this.#at++;
        return this.#list(name);
    }
    if (this.#text.startsWith('<<', this.#at)) throw this.#fail(`${name} is a here-document, which is not read`);
    const text = this.#quoted() ?? this.#take(BARE);
    if (text === undefined) throw this.#fail(`${name} has no value`);
    // `domain "example.com" { … }` is `domain { example.com { … } }`.
    const line = this.#line();
    this.#skip(/[ \t]*/y);
    if (this.#peek() === '{') return { entries: new Map([[text, { line, value: this.#value(text) }]]) };
    if (!/[\s;,}\]]/.test(this.#peek() || ';')) throw this.#fail(`"${this.#rest()}" after ${name} is not understood`);
    return text;
  }

  #list(name: string): UclValue[] {
    const began = this.#line();
    const values: UclValue[] = [];
    for (;;) {
      this.#skip(/[\s;,]*/y);
      if (this.#at >= this.#text.length) throw this.#fail(`the [ of ${name} is never closed`, began);
      if (this.#peek() === ']') {
        this.#at++;
        return values;
      }
      values.push(this.#value(name));
    }
  }

  #quoted(): string | undefined {
    const quote = this.#peek();
    if (quote !== '"' && quote !== "'") return undefined;
    const [whole, inner = ''] = match(/"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'/y, this.#text, this.#at) ?? [];
    if (whole === undefined) throw this.#fail(`a text that begins with ${quote} does not end in its line`);
    this.#at += whole.length;
    return quote === "'" ? whole.slice(1, -1) : inner.replace(/\\(.)/g, '$1');
  }

  #macro(): void {
    const line = this.#line();
    const [text = ''] = match(/[^\n;]*;?/y, this.#text, this.#at) ?? [];
    this.#at += text.length;
    this.macros.push({ line, text: text.trim() });
  }

  /** Pass over what fits, and over comments. */
  #skip(pattern: RegExp): void {
    for (let before = -1; before !== this.#at; ) {
      before = this.#at;
      this.#at += match(pattern, this.#text, this.#at)?.[0].length ?? 0;
      this.#at += match(/#[^\n]*/y, this.#text, this.#at)?.[0].length ?? 0;
      this.#skipComment();
    }
  }

  #skipComment(): void {
    if (!this.#text.startsWith('/*', this.#at)) return;
    const marks = /\/\*|\*\//g;
    let open = 0;
    for (let at = this.#at; open > 0 || at === this.#at; at = marks.lastIndex) {
      const mark = match(marks, this.#text, at)?.[0];
      if (mark === undefined) throw this.#fail('a comment begins and does not end');
      open += mark === '/*' ? 1 : -1;
    }
    this.#at = marks.lastIndex;
  }

  #take(pattern: RegExp): string | undefined {
    const text = match(pattern, this.#text, this.#at)?.[0];
    this.#at += text?.length ?? 0;
    return text;
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #rest(): string {
    return this.#text.slice(this.#at, this.#at + 40).split('\n', 1)[0] ?? '';
  }

  #line(): number {
    return this.#text.slice(0, this.#at).split('\n').length;
  }

  #fail(reason: string, line = this.#line()): SealpostError {
    return new SealpostError('ucl-syntax', `${this.#file}:${line}: ${reason}`);
  }
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
