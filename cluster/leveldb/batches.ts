import type { LogContent } from './log-format.ts';
import { readVarint, varint } from './varint.ts';

/**
 * The batches in a log of commits. Each: sequence number of its first operation (8 bytes), how many there are (4), then
 * per operation its kind (1 put, 0 delete), the key, and the value of a put, each with its length in front.
 *
 * Of a damaged batch the operations are kept that can be told apart. A wrong byte can be in any of them: every value in a
 * store carries a digest over key and value, so whoever reads it finds that. What LevelDB would do instead is to drop the
 * batch and all that follows it in its block.
 */

const HEAD = 12;

/** `kind`: 0 deletes the key, 1 puts the value. */
export type Operation = { sequence: bigint; kind: number; key: Buffer; value: Buffer };

/** `damaged`: how many batches. `lost`: what is no operation. `missing`: how many operations there were between these. */
export type Salvaged = { batches: Buffer[]; damaged: number; lost: Buffer[]; missing: number };

export function salvage({ records, lost }: LogContent): Salvaged {
  const salvaged: Salvaged = { batches: [], damaged: 0, lost: [...lost], missing: 0 };
  let last: bigint | undefined;
  for (const [n, { payload, intact }] of records.entries()) {
    let batch: Buffer | undefined = payload;
    if (!intact) {
      salvaged.damaged++;
      const following = last === undefined ? records.slice(n + 1).find((r) => r.intact)?.payload : undefined;
      const { count, end } = operations(payload);
      batch = count === 0 ? undefined : withHead(payload.subarray(0, end), count, { last, following });
      salvaged.lost.push(batch === undefined ? payload : payload.subarray(end));
    }
    if (batch === undefined || batch.length < HEAD) continue;
    salvaged.batches.push(batch);
    if (intact && last !== undefined) salvaged.missing += Math.max(0, Number(batch.readBigUInt64LE(0) - last - 1n));
    last = batch.readBigUInt64LE(0) + BigInt(batch.readUInt32LE(8)) - 1n;
  }
  salvaged.lost = salvaged.lost.filter((part) => part.length > 0);
  return salvaged;
}

/** How many operations can be told apart, and where they end. */
function operations(batch: Buffer): { count: number; end: number } {
  let [count, end] = [0, HEAD];
  for (let at = HEAD; at < batch.length; ) {
    const kind = batch[at++] ?? 0;
    if (kind > 1) break;
    for (let strings = 0; strings <= kind; strings++) {
      const length = readVarint(batch, at);
      if (length === undefined || length.end + length.value > batch.length) return { count, end };
      at = length.end + length.value;
    }
    count++;
    end = at;
  }
  return { count, end };
}

/** The sequence numbers of a log follow one another, so those of a damaged batch come from its neighbours. */
function withHead(
  batch: Buffer,
  count: number,
  { last, following }: { last: bigint | undefined; following: Buffer | undefined },
): Buffer | undefined {
  const mended = Buffer.from(batch);
  let sequence = mended.readBigUInt64LE(0);
  if (last !== undefined) sequence = last + 1n;
  else if (following !== undefined) sequence = following.readBigUInt64LE(0) - BigInt(count);
  // LevelDB has 56 bits for them.
  if (sequence < 0n || sequence >= 1n << 56n) return undefined;
  mended.writeBigUInt64LE(sequence, 0);
  mended.writeUInt32LE(count, 8);
  return mended;
}

/** A batch of one operation. */
export function batchOf({ sequence, kind, key, value }: Operation): Buffer {
  const head = Buffer.alloc(HEAD + 1);
  head.writeBigUInt64LE(sequence, 0);
  head.writeUInt32LE(1, 8);
  head[HEAD] = kind;
  return Buffer.concat([head, varint(key.length), key, ...(kind === 1 ? [varint(value.length), value] : [])]);
}
