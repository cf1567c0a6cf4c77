import { isAscii } from 'node:buffer';
import { type Entity, parseEntity } from './entity.ts';
import { NotConvertible } from './not-convertible.ts';

/**
 * Walks a message as its bytes stream by, and tells a visitor where the headers, the contents and the structure are
 * (RFC 2046 §5.1). Memory: one line, one header, and the boundaries of the multiparts that are open.
 *
 *   header    lines belong to the header of an entity; the empty line ends it: → leaf, → between (multipart), → header
 *             (of the message inside a message/rfc822)
 *   leaf      lines are content
 *   between   lines are preamble or epilogue of a multipart, which readers ignore
 *
 * A delimiter of an open multipart, the innermost first, ends whatever is under way: → header of its next part, or
 * → between where it closes the multipart. The line end before a delimiter belongs to it, so the line end of a leaf is
 * held back until the next line is known.
 */

export type Visitor = {
  /** A complete header; `closed`: with its empty line, which is not there where a delimiter came first. */
  header(entity: Entity, closed: boolean): void;
  /** Content of the leaf that the last header described, without line ends. */
  content(bytes: Buffer): void;
  lineEnd(): void;
  leafEnd(): void;
  /** Delimiters, preambles and epilogues, with their line ends. */
  structure(bytes: Buffer): void;
};

type Multipart = { delimiter: string; digest: boolean; begun: boolean; eightBitPreamble: boolean };

const CRLF = Buffer.from('\r\n');
const NOTHING = Buffer.alloc(0);
/** A line is handed on in pieces of about this length; delimiters and header fields are shorter. */
const LONGEST_PIECE = 4096;
const LONGEST_DELIMITER = 1000;
/** What may follow `--` and the boundary. */
const PADDING = /^(?:--)?[ \t]*$/;
const LONGEST_HEADER = 1024 * 1024;
const DEEPEST = 50;
const DASH = 0x2d;

export class MimeWalker {
  readonly #visitor: Visitor;
  readonly #open: Multipart[] = [];
  #state: 'header' | 'leaf' | 'between' = 'header';
  #isMessage = true;
  #digest = false;
  #header: Buffer[] = [];
  #headerBytes = 0;
  /** A line end of a leaf that may belong to a delimiter. */
  #heldLineEnd = false;
  #rest = NOTHING;
  #lineBegun = false;

  constructor(visitor: Visitor) {
    this.#visitor = visitor;
  }

  /** The next bytes of the message, cut anywhere. Throws `NotConvertible`. */
  push(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#rest, bytes]);
    let at = 0;
    for (let end = all.indexOf(CRLF); end >= 0; end = all.indexOf(CRLF, at)) {
      this.#line(all.subarray(at, end), true);
      at = end + CRLF.length;
    }
    // The last byte may be a CR whose LF is to come.
    if (all.length - at > LONGEST_PIECE) {
      this.#line(all.subarray(at, -1), false);
      at = all.length - 1;
    }
    this.#rest = all.subarray(at);
  }

  /** The message has ended. Throws `NotConvertible`. */
  end(): void {
    if (this.#rest.length > 0) this.#line(this.#rest, false);
    if (this.#state === 'header') this.#endHeader(false);
    if (this.#heldLineEnd) this.#visitor.lineEnd();
    this.#endLeaf();
    for (const multipart of this.#open) checkBegun(multipart);
  }

  #line(bytes: Buffer, ended: boolean): void {
    const starts = !this.#lineBegun;
    this.#lineBegun = !ended;
    if (starts && bytes[0] === DASH && bytes[1] === DASH && this.#isDelimiter(bytes, ended)) return;
    switch (this.#state) {
      case 'header':
        this.#headerLine(bytes, ended, starts);
        break;
      case 'leaf':
        if (this.#heldLineEnd) this.#visitor.lineEnd();
        this.#heldLineEnd = ended;
        if (bytes.length > 0) this.#visitor.content(bytes);
        break;
      case 'between': {
        const multipart = this.#open.at(-1);
        if (multipart?.begun === false) multipart.eightBitPreamble ||= !isAscii(bytes);
        this.#visitor.structure(ended ? Buffer.concat([bytes, CRLF]) : bytes);
      }
    }
  }

  /** Whether the line is a delimiter of an open multipart: then it takes effect. */
  #isDelimiter(bytes: Buffer, ended: boolean): boolean {
    if (this.#open.length === 0) return false;
    const line = bytes.toString('latin1', 0, LONGEST_DELIMITER);
    const isLike = ({ delimiter }: Multipart): boolean => line.startsWith(delimiter);
    const at = this.#open.findLastIndex((one) => isLike(one) && PADDING.test(line.slice(one.delimiter.length)));
    // RFC 2046 §5.1.1 says both that only white space follows, and that readers need not look beyond the boundary.
    if (at < 0 ? this.#open.some(isLike) : bytes.length > LONGEST_DELIMITER) {
      throw new NotConvertible('a line in it begins like a boundary and goes on');
    }
    const multipart = this.#open[at];
    if (multipart === undefined) return false;
    if (this.#state === 'header') this.#endHeader(false);
    this.#endLeaf();
    if (this.#heldLineEnd) this.#visitor.structure(CRLF);
    this.#heldLineEnd = false;
    multipart.begun = true;
    const closes = line.startsWith('--', multipart.delimiter.length);
    for (const inner of this.#open.splice(closes ? at : at + 1)) checkBegun(inner);
    this.#visitor.structure(ended ? Buffer.concat([bytes, CRLF]) : bytes);
    this.#state = closes ? 'between' : 'header';
    this.#isMessage = false;
    this.#digest = multipart.digest;
    return true;
  }

  #endLeaf(): void {
    if (this.#state === 'leaf') this.#visitor.leafEnd();
    this.#state = 'between';
  }

  #headerLine(bytes: Buffer, ended: boolean, starts: boolean): void {
    if (starts && ended && bytes.length === 0) {
      this.#endHeader(true);
      return;
    }
    this.#header.push(Buffer.from(bytes), ended ? CRLF : NOTHING);
    this.#headerBytes += bytes.length + CRLF.length;
    if (this.#headerBytes > LONGEST_HEADER) throw new NotConvertible('a header in it is too long');
  }

  #endHeader(closed: boolean): void {
    const entity = parseEntity(Buffer.concat(this.#header).toString('latin1'), this.#isMessage, this.#digest);
    this.#header = [];
    this.#headerBytes = 0;
    this.#visitor.header(entity, closed);
    this.#digest = false;
    if (entity.kind === 'message') {
      this.#state = 'header';
      this.#isMessage = true;
    } else if (entity.kind === 'multipart') {
      if (this.#open.length >= DEEPEST) throw new NotConvertible('its parts are nested too deep');
      const digest = entity.type === 'multipart/digest';
      this.#open.push({ delimiter: `--${entity.boundary}`, digest, begun: false, eightBitPreamble: false });
      this.#state = 'between';
    } else {
      this.#state = 'leaf';
    }
  }
}

/** Readers show what a multipart without parts holds, so it is no preamble. */
function checkBegun({ begun, eightBitPreamble }: Multipart): void {
  if (!begun && eightBitPreamble) throw new NotConvertible('the boundary of a multipart does not occur in it');
}
