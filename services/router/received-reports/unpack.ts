import { createGunzip, createInflateRaw } from 'node:zlib';
import { errorText } from '#shared/errors.ts';
import { Unreadable } from './unreadable.ts';

/**
 * The XML or JSON in an attachment: as it is, in gzip (RFC 7489 §7.2.1.1), or the first file of a ZIP archive, which many send all
 * the same. What it is unpacks to no more than `MOST_BYTES`, in pieces, on the thread pool.
 */

/** The largest reports of large receivers have a few megabytes. */
const MOST_BYTES = 64 * 1024 * 1024;

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZIP = Buffer.from('PK\x03\x04', 'latin1');
/** White space and a byte order mark may stand before it. */
const XML = /^(?:\xef\xbb\xbf)?\s*<[?!a-zA-Z_]|^\xff\xfe<|^\xfe\xff\0</;
const JSON_OBJECT = /^(?:\xef\xbb\xbf)?\s*\{/;

/** What an attachment is by its first bytes; undefined: not a report. */
export function packingOf(bytes: Buffer): 'gzip' | 'zip' | 'plain' | undefined {
  if (startsWith(bytes, GZIP)) return 'gzip';
  if (startsWith(bytes, ZIP)) return 'zip';
  return XML.test(bytes.toString('latin1', 0, 200)) || isJson(bytes) ? 'plain' : undefined;
}

/** What a report begins with. */
export function isJson(bytes: Buffer): boolean {
  return JSON_OBJECT.test(bytes.toString('latin1', 0, 200));
}

/** Unpack it. Throws `Unreadable`. */
export async function* unpack(bytes: Buffer, most: number = MOST_BYTES): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const piece of unpacked(bytes)) {
    size += piece.length;
    if (size > most) throw new Unreadable(`the report in it unpacks to more than ${most / 1024 / 1024} MB`);
    yield piece;
  }
}

async function* unpacked(bytes: Buffer): AsyncGenerator<Buffer> {
  const packing = packingOf(bytes);
  if (packing === 'gzip') yield* inflated(createGunzip(), bytes, 'gzip');
  else if (packing === 'zip') yield* zipped(bytes);
  else yield* pieces(bytes);
}

/** Between two of them others have their turn. */
const PIECE_BYTES = 64 * 1024;

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    await new Promise((next) => setImmediate(next));
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

async function* inflated(
  stream: ReturnType<typeof createGunzip> | ReturnType<typeof createInflateRaw>,
  bytes: Buffer,
  kind: string,
): AsyncGenerator<Buffer> {
  stream.end(bytes);
  try {
    for await (const piece of stream) yield piece as Buffer;
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw new Unreadable(`its ${kind} is damaged: ${errorText(error)}`, { cause: error });
  }
}

/** The head of the first file in an archive (APPNOTE.TXT 4.3.7): flags, method, sizes, and lengths of two fields. */
const ZIP_HEAD = 30;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;

function zipped(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length < ZIP_HEAD) throw new Unreadable('its ZIP archive is cut off');
  const flags = bytes.readUInt16LE(6);
  const method = bytes.readUInt16LE(8);
  const size = bytes.readUInt32LE(18);
  const data = bytes.subarray(ZIP_HEAD + bytes.readUInt16LE(26) + bytes.readUInt16LE(28));
  if ((flags & ENCRYPTED) !== 0) throw new Unreadable('its ZIP archive is encrypted');
  if (method === STORED && size > 0 && size <= data.length) return pieces(data.subarray(0, size));
  if (method !== DEFLATED) throw new Unreadable('its ZIP archive is packed in a way that is not read');
  // A deflated file says itself where it ends.
  return inflated(createInflateRaw(), data, 'ZIP archive');
}

function startsWith(bytes: Buffer, magic: Buffer): boolean {
  return bytes.subarray(0, magic.length).equals(magic);
}
