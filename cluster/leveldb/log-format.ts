/**
 * The format of LevelDB's logs, of commits (`.log`) and of its list of files (MANIFEST): blocks of 32 KB; in each
 * fragments with a head of checksum (4 bytes, CRC-32C over kind and payload, masked), length (2) and kind (1), numbers
 * little-endian. A record is one fragment (full) or several (first, middle…, last). Fewer than 7 bytes at the end of a
 * block stay unused.
 *
 * `readLog` reads as much as there is of a damaged one. LevelDB's own reader drops the rest of a block behind a wrong
 * checksum, because the length may be what is wrong; here the next fragment with a right checksum shows where the
 * damaged one ends.
 */

export const BLOCK = 32 * 1024;
const HEAD = 7;
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4] as const;

/** `intact`: every checksum fits. */
export type LogRecord = { payload: Buffer; intact: boolean };
/**
 * `sound`: LevelDB reads all of it too. `lost`: what is part of no record. `unfinished`: the begin of a record at the
 * end of the file, as a crash leaves it.
 */
export type LogContent = { records: LogRecord[]; sound: boolean; lost: Buffer[]; unfinished: Buffer[] };

/** `mended`: its head was wrong. */
type Fragment = { kind: number; payload: Buffer; intact: boolean; mended?: true };
type Piece = Fragment | { lost: Buffer } | { unfinished: Buffer };

export function readLog(bytes: Buffer): LogContent {
  const content: LogContent = { records: [], sound: true, lost: [], unfinished: [] };
  let open: Fragment[] = [];
  const close = (complete: boolean): void => {
    const intact = complete && open.every((part) => part.intact);
    content.sound &&= intact && open.every((part) => part.mended === undefined);
    content.records.push({ payload: Buffer.concat(open.map((part) => part.payload)), intact });
    open = [];
  };
  for (const piece of fragments(bytes)) {
    if ('unfinished' in piece) content.unfinished.push(piece.unfinished);
    else if ('lost' in piece && open.length > 0) {
      // It stands for a part of this record; what is in front of it can be read.
      open.push({ kind: MIDDLE, payload: piece.lost.subarray(HEAD), intact: false });
    } else if ('lost' in piece) content.lost.push(piece.lost);
    else {
      const begins = piece.kind === FULL || piece.kind === FIRST;
      // A writer may leave an empty first fragment where a block has no room for more.
      if (begins && open.some((part) => part.payload.length > 0)) close(false);
      if (begins) open = [piece];
      else if (open.length > 0) open.push(piece);
      else content.lost.push(piece.payload);
      if (open.length > 0 && (piece.kind === FULL || piece.kind === LAST)) close(true);
    }
  }
  if (open.every((part) => part.intact)) content.unfinished.unshift(...open.map((part) => part.payload));
  else close(false);
  content.sound &&= content.lost.length === 0;
  return content;
}

/** A log with these records. */
export function writeLog(payloads: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const payload of payloads) {
    let [from, ends] = [0, false];
    while (!ends) {
      const room = BLOCK - (at % BLOCK);
      const part = payload.subarray(from, from + room - HEAD);
      if (room < HEAD) parts.push(Buffer.alloc(room));
      else {
        ends = from + part.length === payload.length;
        parts.push(head(kindOf(from === 0, ends), part), part);
        from += part.length;
      }
      at += room < HEAD ? room : HEAD + part.length;
    }
  }
  return Buffer.concat(parts);
}

function* fragments(bytes: Buffer): Generator<Piece> {
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  for (let start = 0; start < end; start += BLOCK) {
    const block = bytes.subarray(start, start + BLOCK);
    let at = 0;
    while (at + HEAD <= block.length && start + at < end) {
      const whole = fragmentAt(block, at);
      if (whole !== undefined) {
        yield whole;
        at += HEAD + whole.payload.length;
        continue;
      }
      let next = at + 1;
      while (next + HEAD <= block.length && fragmentAt(block, next) === undefined) next++;
      if (next + HEAD > block.length) next = block.length;
      const stretch = block.subarray(at, next);
      if (start + next === bytes.length && isUnfinished(stretch)) yield { unfinished: stretch };
      else yield* damaged(stretch);
      at = next;
    }
  }
}

function fragmentAt(block: Buffer, at: number): Fragment | undefined {
  const kind = block[at + 6] ?? 0;
  const end = at + HEAD + block.readUInt16LE(at + 4);
  if (!isKind(kind) || end > block.length) return undefined;
  const payload = block.subarray(at + HEAD, end);
  return checksum(payload, kind) === block.readUInt32LE(at) ? { kind, payload, intact: true } : undefined;
}

/** What a stretch was in which no fragment has its checksum. */
function* damaged(stretch: Buffer): Generator<Piece> {
  const mended = withOtherHead(stretch);
  if (mended !== undefined) {
    yield mended;
    return;
  }
  for (let at = 0; at + HEAD <= stretch.length; ) {
    const [kind, end] = [stretch[at + 6] ?? 0, at + HEAD + stretch.readUInt16LE(at + 4)];
    if (!isKind(kind) || end > stretch.length) {
      yield { lost: stretch.subarray(at) };
      return;
    }
    yield { kind, payload: stretch.subarray(at + HEAD, end), intact: false };
    at = end;
  }
}

/** The fragment, if its checksum fits with another kind or length: its payload is right then. */
function withOtherHead(stretch: Buffer): Fragment | undefined {
  if (stretch.length < HEAD) return undefined;
  const expected = stretch.readUInt32LE(0);
  // At the end of a block up to 6 bytes are unused.
  for (let end = stretch.length; end >= HEAD && end > stretch.length - HEAD; end--) {
    const payload = stretch.subarray(HEAD, end);
    for (const kind of [FULL, FIRST, MIDDLE, LAST]) {
      if (checksum(payload, kind) === expected) return { kind, payload, intact: true, mended: true };
    }
  }
  return undefined;
}

/** The end of a file where its writer, or the machine, stopped in the middle of a record. */
function isUnfinished(stretch: Buffer): boolean {
  const cutOff = isKind(stretch[6] ?? 0) && HEAD + stretch.readUInt16LE(4) > stretch.length;
  return (cutOff && withOtherHead(stretch) === undefined) || stretch.subarray(-8).every((byte) => byte === 0);
}

function isKind(kind: number): boolean {
  return kind >= FULL && kind <= LAST;
}

function kindOf(begins: boolean, ends: boolean): number {
  if (begins) return ends ? FULL : FIRST;
  return ends ? LAST : MIDDLE;
}

function head(kind: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD);
  bytes.writeUInt32LE(checksum(payload, kind), 0);
  bytes.writeUInt16LE(payload.length, 4);
  bytes[6] = kind;
  return bytes;
}

/** CRC-32C, masked as LevelDB does it; in a log it is of kind and payload. */
export function checksum(payload: Buffer, kind?: number): number {
  let crc = kind === undefined ? 0xffff_ffff : next(0xffff_ffff, kind);
  for (const byte of payload) crc = next(crc, byte);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
}

function next(crc: number, byte: number): number {
  return (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f6_3b78;
  return crc;
});
