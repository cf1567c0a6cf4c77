import { isAscii } from 'node:buffer';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { charsetOf } from '#shared/mail/encoded-words.ts';
import { Base64, type Encoder, QuotedPrintable } from './encoders.ts';
import type { Entity } from './entity.ts';
import { sevenBitField } from './header-fields.ts';
import { NotConvertible } from './not-convertible.ts';
import { MimeWalker, type Visitor } from './walker.ts';

/**
 * An 8-bit message as 7-bit MIME (RFC 6152 §3, RFC 2045 §6), for a peer without 8BITMIME.
 *
 * Each part with 8-bit content is encoded: text that is mostly ASCII in quoted-printable, all else in base64. Parts
 * without stay byte for byte. A message that is not MIME becomes text/plain. A message whose structure readers could see
 * in different ways is not converted: encoding the wrong part would damage it.
 *
 * The message is read three times, so that nothing of it is kept: to see what each part holds, to hash and measure the
 * result before it is signed and announced, and to send it.
 */

const CRLF = Buffer.from('\r\n');

type Source = () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export type Converted = {
  /** The header block with its empty line. */
  header: Buffer;
  /** Bytes of header and body. */
  size: number;
  /** Of the body, as `MessageFacts.bodyHash`. */
  bodyHash: string;
  body: () => AsyncIterable<Uint8Array>;
};

/**
 * `breaksSignatures`: it is converted although signatures of others in it are not valid any more after that. Rejects with
 * `NotConvertible`, or as `source` does.
 */
export async function convertToSevenBit(source: Source, breaksSignatures: boolean): Promise<Converted> {
  const planner = new Planner();
  await walk(source, planner);
  if (planner.signed && !breaksSignatures) throw new NotConvertible('that would break a signature in it');
  const hash = new RelaxedBodyHash();
  let header: Buffer | undefined;
  let size = 0;
  for await (const bytes of write(source, planner.parts)) {
    size += bytes.length;
    if (header === undefined) header = bytes;
    else hash.update(bytes);
  }
  if (header === undefined) throw new NotConvertible('it is empty');
  return { header, size, bodyHash: hash.digest(), body: () => bodyOf(write(source, planner.parts)) };
}

async function* bodyOf(message: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isHeader = true;
  for await (const bytes of message) {
    if (!isHeader) yield bytes;
    isHeader = false;
  }
}

async function walk(source: Source, visitor: Visitor): Promise<void> {
  const walker = new MimeWalker(visitor);
  for await (const bytes of source()) walker.push(bytes);
  walker.end();
}

/** The converted message: its header in one piece, then the body. */
async function* write(source: Source, parts: readonly Part[]): AsyncGenerator<Buffer> {
  const writer = new Writer(parts);
  const walker = new MimeWalker(writer);
  for await (const bytes of source()) {
    walker.push(bytes);
    yield* writer.take(false);
  }
  walker.end();
  yield* writer.take(true);
}

/** What becomes of an entity. `masked`: 8-bit characters become `?`, where no encoding may stand and programs read. */
type Part = { how: 'as-is' | 'quoted-printable' | 'base64' | 'masked'; isUtf8: boolean };

const MOST_PARTS = 10_000;
/** Base64 is shorter where more than one byte in six is 8-bit, and the text is not legible either way. */
const LEGIBLE = 6;
/** Reports for programs (RFC 3464 §2.1.1, RFC 8098 §3.1): 7-bit, and of type message, so without an encoding. */
const REPORT = /^message\/(?:delivery-status|disposition-notification|feedback-report)$/;
const SIGNATURE = /^(?:dkim-signature|domainkey-signature|arc-.*)$/;

class Planner implements Visitor {
  readonly parts: Part[] = [];
  /** Somebody signed it, or a part of it. */
  signed = false;
  #entity: Entity | undefined;
  #total = 0;
  #eightBit = 0;
  #decoder: InstanceType<typeof TextDecoder> | undefined;

  header(entity: Entity): void {
    if (this.parts.length === 0) this.signed = entity.fields.some(({ name }) => SIGNATURE.test(name));
    this.signed ||= entity.type === 'multipart/signed';
    if (this.parts.push({ how: 'as-is', isUtf8: true }) > MOST_PARTS) throw new NotConvertible('it has too many parts');
    this.#entity = entity;
    this.#total = 0;
    this.#eightBit = 0;
    // Without a type, what the text is encoded in can only be found out.
    this.#decoder = entity.type === undefined ? new TextDecoder('utf-8', { fatal: true }) : undefined;
  }

  content(bytes: Buffer): void {
    this.#total += bytes.length;
    this.#decode(bytes, true);
    if (isAscii(bytes)) return;
    for (const byte of bytes) if (byte > 127) this.#eightBit++;
  }

  lineEnd(): void {
    this.#total += CRLF.length;
    this.#decode(CRLF, true);
  }

  leafEnd(): void {
    if (this.#eightBit === 0) return;
    const { problem, type = 'text/plain' } = this.#entity ?? {};
    if (problem !== undefined) throw new NotConvertible(problem);
    this.#decode(new Uint8Array(0), false);
    const part = this.parts.at(-1);
    if (part === undefined) return;
    if (REPORT.test(type)) part.how = 'masked';
    else if (type.startsWith('message/')) throw new NotConvertible(`a ${type} in it must not be encoded`);
    else part.how = type.startsWith('text/') && this.#eightBit * LEGIBLE <= this.#total ? 'quoted-printable' : 'base64';
  }

  structure(): void {}

  #decode(bytes: Uint8Array, stream: boolean): void {
    const part = this.parts.at(-1);
    if (this.#decoder === undefined || part?.isUtf8 !== true) return;
    try {
      this.#decoder.decode(bytes, { stream });
    } catch {
      part.isUtf8 = false;
    }
  }
}

/** Bytes gathered before they are handed on. */
const BATCH_BYTES = 16 * 1024;

class Writer implements Visitor {
  readonly #parts: readonly Part[];
  #entities = 0;
  #part: Part | undefined;
  #encoder: Encoder | undefined;
  #header: Buffer | undefined;
  #out: Buffer[] = [];
  #bytes = 0;
  #endsLine = true;

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
  }

  /** What was written since the last call, if it is enough. `ended`: all of it, and it ends with a line end. */
  *take(ended: boolean): Generator<Buffer> {
    if (ended && !this.#endsLine) this.#put(CRLF);
    if (this.#header !== undefined) yield this.#header;
    this.#header = undefined;
    if (this.#bytes === 0 || (!ended && this.#bytes < BATCH_BYTES)) return;
    yield Buffer.concat(this.#out);
    this.#out = [];
    this.#bytes = 0;
  }

  header(entity: Entity, closed: boolean): void {
    const isWhole = this.#entities === 0;
    const part = this.#parts[this.#entities++];
    if (part === undefined) throw new Error('the message has changed while it was converted');
    this.#part = part;
    this.#encoder = encoderOf(part);
    const text = sevenBitHeader(entity, part, isWhole) + (closed || isWhole ? '\r\n' : '');
    const bytes = Buffer.from(text, 'latin1');
    if (isWhole) this.#header = bytes;
    else this.#put(bytes);
  }

  content(bytes: Buffer): void {
    if (this.#encoder !== undefined) this.#put(this.#encoder.push(bytes));
    else this.#put(this.#part?.how === 'masked' ? masked(bytes) : bytes);
  }

  lineEnd(): void {
    this.#put(this.#encoder?.lineEnd() ?? CRLF);
  }

  leafEnd(): void {
    if (this.#encoder !== undefined) this.#put(this.#encoder.end());
    this.#encoder = undefined;
  }

  /** Readers do not show what is between the parts. */
  structure(bytes: Buffer): void {
    this.#put(masked(bytes));
  }

  #put(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#out.push(bytes);
    this.#bytes += bytes.length;
    this.#endsLine = bytes.at(-1) === CRLF[1];
  }
}

function encoderOf({ how }: Part): Encoder | undefined {
  if (how === 'quoted-printable') return new QuotedPrintable();
  return how === 'base64' ? new Base64() : undefined;
}

function masked(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : Buffer.from(bytes.map((byte) => (byte > 127 ? 0x3f : byte)));
}

/** The header block of an entity, without its empty line. Throws `NotConvertible`. */
function sevenBitHeader(entity: Entity, { how, isUtf8 }: Part, isWhole: boolean): string {
  const encoded = how === 'quoted-printable' || how === 'base64';
  const lines: string[] = [];
  for (const field of entity.fields) {
    if (field.name !== 'content-transfer-encoding') lines.push(sevenBitField(field));
    else if (!encoded)
      lines.push(/:[ \t]*(?:8bit|binary)[ \t]*\r\n$/i.test(field.raw) ? SEVEN_BIT : sevenBitField(field));
  }
  const has = (name: string): boolean => entity.fields.some((field) => field.name === name);
  if (entity.isMessage && !has('mime-version') && (isWhole || encoded || entity.kind === 'multipart'))
    lines.push('MIME-Version: 1.0\r\n');
  if (encoded && !has('content-type')) lines.push(`Content-Type: text/plain; charset=${charsetOf(isUtf8)}\r\n`);
  if (encoded) lines.push(`Content-Transfer-Encoding: ${how}\r\n`);
  const last = lines.at(-1);
  return last === undefined || last.endsWith('\r\n') ? lines.join('') : `${lines.join('')}\r\n`;
}

const SEVEN_BIT = 'Content-Transfer-Encoding: 7bit\r\n';
