import { batchOf, type Operation } from './batches.ts';
import { checksum } from './log-format.ts';
import { readVarint } from './varint.ts';

/**
 * Reads the blocks of a table (`.ldb`) that was cut off: its index is at its end, so LevelDB itself finds nothing in it.
 *
 * Blocks stand one behind the other. Each has entries in the order of their keys: how many bytes of the key are those of
 * the one before, how many follow, the length of the value (varints); then these bytes. A key ends in 8 bytes: kind (1)
 * and sequence number (7). Behind the entries stand the offsets of each 16th, how many of these there are (4 bytes
 * each), the kind of compression (1), of which only none is read, and a checksum (4).
 */

const RESTART_EVERY = 16;

/** Batches of one operation each, from the first block to the last one that is whole, and where that ends. */
export function readTable(bytes: Buffer): { batches: Buffer[]; end: number } {
  const batches: Buffer[] = [];
  for (let end = 0; ; ) {
    const block = readBlock(bytes, end);
    if (block === undefined) return { batches, end };
    batches.push(...block.operations.map(batchOf));
    end = block.end;
  }
}

function readBlock(bytes: Buffer, start: number): { operations: Operation[]; end: number } | undefined {
  const operations: Operation[] = [];
  let key: Buffer = Buffer.alloc(0);
  for (let at = start; ; ) {
    const shared = readVarint(bytes, at);
    const own = readVarint(bytes, shared?.end ?? bytes.length);
    const size = readVarint(bytes, own?.end ?? bytes.length);
    if (shared === undefined || own === undefined || size === undefined) return undefined;
    const end = size.end + own.value + size.value;
    if (shared.value > key.length || end > bytes.length || shared.value + own.value < 8) return undefined;
    key = Buffer.concat([key.subarray(0, shared.value), bytes.subarray(size.end, size.end + own.value)]);
    const tag = key.readBigUInt64LE(key.length - 8);
    operations.push({
      sequence: tag >> 8n,
      kind: Number(tag & 0xffn),
      key: key.subarray(0, -8),
      value: bytes.subarray(size.end + own.value, end),
    });
    at = end;
    const next = endOfBlock(bytes, start, at, operations.length);
    if (next !== undefined) return { operations, end: next };
  }
}

/** Where the next block begins, if the entries of this one end at `at`. */
function endOfBlock(bytes: Buffer, start: number, at: number, entries: number): number | undefined {
  const restarts = Math.ceil(entries / RESTART_EVERY);
  const end = at + 4 * restarts + 4;
  if (end + 5 > bytes.length || bytes.readUInt32LE(end - 4) !== restarts || bytes[end] !== 0) return undefined;
  return checksum(bytes.subarray(start, end + 1)) === bytes.readUInt32LE(end + 1) ? end + 5 : undefined;
}
