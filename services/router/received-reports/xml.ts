import { Unreadable } from './unreadable.ts';

/**
 * Reads XML (fifth edition) as its text comes, cut anywhere, and tells what it finds: elements by their path of local
 * names, and the text in each. It knows what reports have and no more: no document type (so no entities but the five, and
 * nothing that grows or lies elsewhere), no attributes, no namespaces. Memory: one tag, one text, the open elements.
 */

export type XmlVisitor = {
  /** An element has ended. `path`: `feedback/record/row`; `text`: its own text, trimmed and cut. */
  end(path: string, text: string): void;
};

type Open = { name: string; path: string; text: string };

const LONGEST_TAG = 4096;
/** More of a text is not kept. */
const LONGEST_TEXT = 1024;
const DEEPEST = 20;
/** Those of 20,000 records of a report. */
const MOST_ELEMENTS = 600_000;

const NAME = /^[\p{L}_:][\p{L}\p{N}_:.-]*$/u;
/** Up to the `>` that ends a tag; one in quotes does not. */
const TAG = /^<(\/?)([^\s"'<>/]+)(?=[\s/>])(?:[^"'<>]|"[^"<]*"|'[^'<]*')*>/;
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** What is skipped, or is text: where it begins, where it ends. */
const SECTIONS = [
  { start: '<!--', end: '-->', isText: false },
  { start: '<![CDATA[', end: ']]>', isText: true },
  { start: '<?', end: '?>', isText: false },
] as const;
type Section = (typeof SECTIONS)[number];

export class XmlReader {
  readonly #visitor: XmlVisitor;
  readonly #open: Open[] = [];
  #rest = '';
  #section: Section | undefined;
  #elements = 0;
  #ended = false;

  constructor(visitor: XmlVisitor) {
    this.#visitor = visitor;
  }

  /** The next characters. Throws `Unreadable`. */
  push(text: string): void {
    const all = this.#rest + text;
    let at = 0;
    for (let next = this.#step(all, at); next > at; next = this.#step(all, at)) at = next;
    this.#rest = all.slice(at);
  }

  /** The text has ended. Throws `Unreadable`. */
  end(): void {
    if (!this.#ended || this.#rest !== '' || this.#section !== undefined) throw new Unreadable('its XML is cut off');
  }

  /** Take what begins at `at`, if it is complete. Returns where it ends. */
  #step(all: string, at: number): number {
    if (this.#section !== undefined) return this.#inSection(all, at, this.#section);
    const start = all.indexOf('<', at);
    if (start !== at) {
      const end = start < 0 ? all.length : start;
      this.#text(all.slice(at, end), false);
      return end;
    }
    const first = all[at + 1];
    if (first !== '!' && first !== '?') return first === undefined ? at : this.#tag(all, at);
    const begun = all.slice(at, at + LONGEST_START);
    const section = SECTIONS.find((one) => begun.startsWith(one.start));
    if (section !== undefined) {
      this.#section = section;
      return at + section.start.length;
    }
    // It may become the start of a section.
    if (SECTIONS.some((one) => one.start.startsWith(begun))) return at;
    throw new Unreadable('its XML has a document type declaration');
  }

  #inSection(all: string, at: number, { end, isText }: Section): number {
    const found = all.indexOf(end, at);
    // The last characters may be the beginning of its end.
    const until = found < 0 ? Math.max(at, all.length - end.length + 1) : found;
    if (isText) this.#text(all.slice(at, until), true);
    if (found < 0) return until;
    this.#section = undefined;
    return found + end.length;
  }

  #tag(all: string, at: number): number {
    const begun = all.slice(at, at + LONGEST_TAG);
    const match = TAG.exec(begun);
    if (match === null) {
      if (begun.length < LONGEST_TAG && !begun.includes('<', 1)) return at;
      throw new Unreadable('a tag of its XML is damaged or too long');
    }
    const [tag, slash, name = ''] = match;
    if (slash === '/') this.#endElement(name);
    else this.#startElement(name, tag.endsWith('/>'));
    return at + tag.length;
  }

  #startElement(name: string, empty: boolean): void {
    if (++this.#elements > MOST_ELEMENTS) throw new Unreadable('its XML has too many elements');
    if (this.#ended || !NAME.test(name)) throw new Unreadable('its XML is damaged');
    if (this.#open.length >= DEEPEST) throw new Unreadable('the elements of its XML are nested too deep');
    const parent = this.#open.at(-1);
    // The prefix of a namespace is the choice of who wrote it.
    const local = name.slice(name.indexOf(':') + 1);
    this.#open.push({ name, path: parent === undefined ? local : `${parent.path}/${local}`, text: '' });
    if (empty) this.#endElement(name);
  }

  #endElement(name: string): void {
    const element = this.#open.pop();
    if (element?.name !== name) throw new Unreadable('an element of its XML ends that did not begin');
    this.#ended = this.#open.length === 0;
    this.#visitor.end(element.path, unescaped(element.text).trim());
  }

  #text(text: string, literal: boolean): void {
    const element = this.#open.at(-1);
    if (element === undefined) {
      if (/[^\s\ufeff]/.test(text)) throw new Unreadable('it is not XML');
      return;
    }
    if (element.text.length >= LONGEST_TEXT) return;
    const more = text.slice(0, LONGEST_TEXT);
    element.text += literal ? more.replaceAll('&', '&amp;') : more;
  }
}

const LONGEST_START = Math.max(...SECTIONS.map(({ start }) => start.length));

/** References to characters replaced; others stay as they are. */
function unescaped(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,4}));/gi, (all, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? all;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}
