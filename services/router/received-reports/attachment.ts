import type { Entity } from '../delivery/seven-bit/entity.ts';
import { NotConvertible } from '../delivery/seven-bit/not-convertible.ts';
import { parseParameters, unfold } from '../delivery/seven-bit/parameters.ts';
import { MimeWalker, type Visitor } from '../delivery/seven-bit/walker.ts';
import { packingOf } from './unpack.ts';
import { Unreadable } from './unreadable.ts';

/**
 * The attachment of a message that holds a report: the first part that is, or is called, something else than text for
 * people, and begins like gzip, ZIP, XML or JSON. Memory: that part, up to `MOST_BYTES`.
 */

/** Of an attachment as it travels. RFC 9990 lets owners ask for less; few reports have more than a megabyte. */
const MOST_BYTES = 14 * 1024 * 1024;
const MOST_PARTS = 100;
/** Room for a small one. */
const FIRST_BYTES = 64 * 1024;

/** Find it in a message that comes in pieces. Rejects with `Unreadable`, or as `message` does. */
export async function reportAttachment(
  message: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  most: number = MOST_BYTES,
): Promise<Buffer> {
  const finder = new Finder(most);
  const walker = new MimeWalker(finder);
  try {
    for await (const bytes of message) {
      walker.push(bytes);
      if (finder.found !== undefined) return finder.found;
    }
    walker.end();
  } catch (error) {
    if (error instanceof NotConvertible) throw new Unreadable(error.message, { cause: error });
    throw error;
  }
  if (finder.found === undefined) throw new Unreadable('it has no attachment in gzip, ZIP, XML or JSON');
  return finder.found;
}

class Finder implements Visitor {
  readonly #most: number;
  #parts = 0;
  #encoding = '';
  /** Content of the part that is looked at, with room for more; undefined where it is passed over. */
  #content: Buffer | undefined;
  #bytes = 0;
  found: Buffer | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  header(entity: Entity): void {
    if (++this.#parts > MOST_PARTS) throw new Unreadable('it has too many parts');
    const isWanted = this.found === undefined && entity.kind === 'leaf' && mayBeReport(entity);
    this.#content = isWanted ? Buffer.alloc(0) : undefined;
    this.#bytes = 0;
    const encoding = entity.fields.find(({ name }) => name === 'content-transfer-encoding');
    this.#encoding = encoding === undefined ? '' : unfold(encoding.raw).trim().toLowerCase();
  }

  content(bytes: Buffer): void {
    this.#add(bytes);
  }

  lineEnd(): void {
    if (this.#encoding !== 'base64') this.#add(CRLF);
  }

  leafEnd(): void {
    if (this.#content === undefined) return;
    const decoded = decode(this.#content.subarray(0, this.#bytes), this.#encoding);
    this.#content = undefined;
    if (packingOf(decoded) !== undefined) this.found = decoded;
  }

  structure(): void {}

  #add(bytes: Buffer): void {
    if (this.#content === undefined) return;
    const before = this.#bytes;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#most) throw new Unreadable(`its attachment is larger than ${this.#most / 1024 / 1024} MB`);
    // Lines may have one byte each: kept as lines they would take a hundred times their size.
    if (this.#bytes > this.#content.length) {
      this.#content = Buffer.concat([this.#content], Math.max(FIRST_BYTES, 2 * this.#bytes));
    }
    bytes.copy(this.#content, before);
  }
}

const CRLF = Buffer.from('\r\n');

function mayBeReport({ type = 'text/plain', fields }: Entity): boolean {
  if (!/^(?:text\/(?:plain|html)|image\/|message\/)/.test(type)) return true;
  const named = fields.filter(({ name }) => name === 'content-type' || name === 'content-disposition');
  return named.some(({ raw }) =>
    parseParameters(unfold(raw))?.parameters.some(
      ({ name, value }) => (name === 'name' || name === 'filename') && /\.(?:xml|json|gz|zip)$/i.test(value),
    ),
  );
}

/** RFC 2045 §6. */
function decode(bytes: Buffer, encoding: string): Buffer {
  if (encoding === 'base64') return Buffer.from(bytes.toString('latin1'), 'base64');
  if (encoding !== 'quoted-printable') return bytes;
  const text = bytes
    .toString('latin1')
    .replace(/=[ \t]*\r\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(text, 'latin1');
}
