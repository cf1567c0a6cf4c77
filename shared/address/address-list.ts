/**
 * Mailboxes of a From, Sender or To field (RFC 5322 §3.4), the obsolete syntax of §4.4 included. The value is read
 * once, token by token, without backtracking or recursion: time is linear in its length, whatever it holds.
 *
 * The parser is strict where readers could disagree about who the author is: a value that is no address list gives
 * nothing at all, never a guess. Bytes above 127 are taken as text (RFC 6532), in whatever encoding the caller has.
 */

type Token = { kind: 'atom' | 'quoted' | 'literal' | 'special'; text: string; start: number; end: number };

/** An address and where it stands in the value, from the first character of the local part to behind the domain. */
export type AddressSpan = { address: string; start: number; end: number };

/** RFC 5322 §3.2.3, with the non-ASCII text of RFC 6532 §3.2. */
const ATOM = /[^\x00-\x20"(),.:;<>@[\\\]\x7f]+/y;
const DOT_ATOM = /^[^\x00-\x20"(),.:;<>@[\\\]\x7f]+(?:\.[^\x00-\x20"(),.:;<>@[\\\]\x7f]+)*$/;
/** Inside a quoted string or a comment: everything but line ends and NUL, which end the message for some readers. */
const FORBIDDEN = /[\x00\r\n]/;

/** The index behind the comment that opens at `start` (comments nest), or undefined when it does not close. */
function skipComment(text: string, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') i++;
    else if (char === '(') depth++;
    else if (char === ')' && --depth === 0) return i + 1;
  }
  return undefined;
}

/** The content of the quoted string or domain literal that opens at `start`, without quoting, and where it ends. */
function readQuoted(text: string, start: number, close: string): { content: string; end: number } | undefined {
  let content = '';
  for (let i = start + 1; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === close) return { content, end: i + 1 };
    if (char === '\\') content += text.charAt(++i);
    else content += char;
  }
  return undefined;
}

/** All tokens but white space and comments; undefined when a character stands where none may. */
function tokenize(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (char === ' ' || char === '\t') at++;
    else if (char === '(') {
      const end = skipComment(text, at);
      if (end === undefined) return undefined;
      at = end;
    } else if (char === '"' || char === '[') {
      const quoted = readQuoted(text, at, char === '"' ? '"' : ']');
      if (quoted === undefined) return undefined;
      const kind = char === '"' ? 'quoted' : 'literal';
      tokens.push({ kind, text: quoted.content, start: at, end: quoted.end });
      at = quoted.end;
    } else if (',.:;<>@'.includes(char)) {
      tokens.push({ kind: 'special', text: char, start: at, end: ++at });
    } else {
      ATOM.lastIndex = at;
      const atom = ATOM.exec(text)?.[0];
      if (atom === undefined) return undefined;
      tokens.push({ kind: 'atom', text: atom, start: at, end: at + atom.length });
      at += atom.length;
    }
  }
  return tokens;
}

/** Words joined by dots: `word *("." word)` of §3.4.1 and §4.4. Undefined where dot and word do not alternate. */
function joinDotted(words: Token[]): string | undefined {
  if (words.length % 2 === 0) return undefined;
  for (const [i, word] of words.entries())
    if ((word.text === '.' && word.kind === 'special') !== (i % 2 === 1)) return undefined;
  return words.map((w) => w.text).join('');
}

/** A local part in its one shortest form: quoted only where it must be (RFC 5321 §4.1.2: both forms are equal). */
function quoteLocalPart(local: string): string {
  return DOT_ATOM.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`;
}

class Reader {
  readonly #tokens: Token[];
  #at = 0;

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  /** Take the next token if it is this special character. */
  take(special: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'special' || token.text !== special) return false;
    this.#at++;
    return true;
  }

  /** The run of words and dots that comes next: a phrase, a local part, or a domain name. */
  words(): Token[] {
    const start = this.#at;
    for (let token = this.#tokens[start]; token !== undefined; token = this.#tokens[++this.#at]) {
      if (token.kind === 'literal' || (token.kind === 'special' && token.text !== '.')) break;
    }
    return this.#tokens.slice(start, this.#at);
  }

  /** Dot-atom or domain literal (§3.4.1). A literal with `@` is no literal of RFC 5321 §4.1.3. */
  domain(): string | undefined {
    const next = this.#tokens[this.#at];
    if (next?.kind === 'literal') {
      this.#at++;
      return /^[^\x00-\x20@[\\\]\x7f]+$/.test(next.text) ? `[${next.text}]` : undefined;
    }
    const words = this.words();
    return words.some((w) => w.kind === 'quoted') ? undefined : joinDotted(words);
  }

  /** What follows the local part: `@` and a domain. */
  addrSpec(local: Token[]): AddressSpan | undefined {
    const name = joinDotted(local);
    if (name === undefined || !this.take('@')) return undefined;
    const domain = this.domain();
    const [first, last] = [local[0], this.#tokens[this.#at - 1]];
    if (domain === undefined || first === undefined || last === undefined) return undefined;
    return { address: `${quoteLocalPart(name)}@${domain}`, start: first.start, end: last.end };
  }

  /** What follows `<`; a source route (§4.4 obs-route) is read over, as RFC 5321 §4.1.1.3 asks. */
  angleAddr(): AddressSpan | undefined {
    let routed = false;
    while (this.take(',') || this.take('@')) {
      routed = true;
      if (this.#tokens[this.#at - 1]?.text === '@' && this.domain() === undefined) return undefined;
    }
    if (routed && !this.take(':')) return undefined;
    const address = this.addrSpec(this.words());
    return address !== undefined && this.take('>') ? address : undefined;
  }
}

/**
 * The addr-specs of an address list in order: of its mailboxes, and of the members of its groups. `[]` for a list of
 * empty groups alone. Undefined when the text is not an address list, the empty text included.
 *
 * `value` is a field's value (`fieldValue`), folded or not. A quoted local part that needs no quotes comes back
 * without (`"alice"@x` is `alice@x`); domains come back as written, without comments and white space.
 */
export function parseAddressList(value: string): string[] | undefined {
  return parseText(value.replace(/\r\n(?=[ \t])/g, ''))?.map(({ address }) => address);
}

/** The same, with the place of each address in `value`. A fold inside a quoted local part becomes white space of it. */
export function parseAddressSpans(value: string): AddressSpan[] | undefined {
  return parseText(value.replace(/\r\n(?=[ \t])/g, '  '));
}

function parseText(text: string): AddressSpan[] | undefined {
  const tokens = FORBIDDEN.test(text) ? undefined : tokenize(text);
  if (tokens === undefined) return undefined;
  const reader = new Reader(tokens);
  const addresses: AddressSpan[] = [];
  let inGroup = false;
  let entries = 0;
  // Between two entries stands a comma; a group may end instead. `open` says that an entry may come now.
  let open = true;
  while (!reader.done) {
    if (reader.take(',')) {
      open = true;
    } else if (inGroup && reader.take(';')) {
      inGroup = false;
      open = false;
    } else {
      if (!open) return undefined;
      const words = reader.words();
      if (!inGroup && words.length > 0 && reader.take(':')) {
        inGroup = true;
        entries++;
        continue;
      }
      const address = reader.take('<') ? reader.angleAddr() : reader.addrSpec(words);
      if (address === undefined) return undefined;
      addresses.push(address);
      entries++;
      open = false;
    }
  }
  return inGroup || entries === 0 ? undefined : addresses;
}
