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
 * `lost`: what could not be read as part of a record, apart from an unfinished record at the end, which a crash leaves.
 */
export type LogContent = { records: LogRecord[]; lost: Buffer[] };

type Fragment = { kind: number; payload: Buffer; intact: boolean };

export function readLog(bytes: Buffer): LogContent {
  const records: LogRecord[] = [];
  const lost: Buffer[] = [];
  let open: Fragment[] = [];
  const drop = (): void => {
    lost.push(...open.map((part) => part.payload));
    open = [];
  };
  for (const found of fragments(bytes)) {
    if (Buffer.isBuffer(found)) {
      drop();
      lost.push(found);
      continue;
    }
    const begins = found.kind === FULL || found.kind === FIRST;
    if (begins) drop();
    else if (open.length === 0) {
      lost.push(found.payload);
      continue;
    }
    open.push(found);
    if (found.kind !== FULL && found.kind !== LAST) continue;
    const payload = open.length === 1 ? found.payload : Buffer.concat(open.map((part) => part.payload));
    records.push({ payload, intact: open.every((part) => part.intact) });
    open = [];
  }
  return { records, lost: lost.filter((part) => part.length > 0) };
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

/** Fragments in order; a Buffer is a stretch that is none. */
function* fragments(bytes: Buffer): Generator<Fragment | Buffer> {
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
      if (start + next < bytes.length || !isUnfinished(stretch)) yield* damaged(stretch);
      at = next;
    }
  }
}

function fragmentAt(block: Buffer, at: number): Fragment | undefined {
  const kind = block[at + 6] ?? 0;
  const end = at + HEAD + block.readUInt16LE(at + 4);
  if (!isKind(kind) || end > block.length) return undefined;
  const payload = block.subarray(at + HEAD, end);
  return checksum(kind, payload) === block.readUInt32LE(at) ? { kind, payload, intact: true } : undefined;
}

/** What a stretch was in which no fragment has its checksum. */
function* damaged(stretch: Buffer): Generator<Fragment | Buffer> {
  if (stretch.length < HEAD) return;
  const mended = withOtherHead(stretch);
  if (mended !== undefined) {
    yield mended;
    return;
  }
  const [kind, end] = [stretch[6] ?? 0, HEAD + stretch.readUInt16LE(4)];
  if (!isKind(kind) || end > stretch.length) {
    yield stretch;
    return;
  }
  yield { kind, payload: stretch.subarray(HEAD, end), intact: false };
  yield* damaged(stretch.subarray(end));
}

/** The fragment, if its checksum fits with another kind or length: its payload is right then. */
function withOtherHead(stretch: Buffer): Fragment | undefined {
  const expected = stretch.readUInt32LE(0);
  // At the end of a block up to 6 bytes are unused.
  for (let end = stretch.length; end >= HEAD && end > stretch.length - HEAD; end--) {
    const payload = stretch.subarray(HEAD, end);
    for (const kind of [FULL, FIRST, MIDDLE, LAST]) {
      if (checksum(kind, payload) === expected) return { kind, payload, intact: true };
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
  bytes.writeUInt32LE(checksum(kind, payload), 0);
  bytes.writeUInt16LE(payload.length, 4);
  bytes[6] = kind;
  return bytes;
}

/** CRC-32C of kind and payload, masked as LevelDB does it. */
function checksum(kind: number, payload: Buffer): number {
  let crc = next(0xffff_ffff, kind);
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
