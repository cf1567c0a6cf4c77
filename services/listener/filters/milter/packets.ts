import type { Command } from './protocol.ts';

/** A packet of a milter: the letter that says what it is, and its data. */
export type Packet = { code: string; data: Buffer };

/** A field of 64 KiB with its name is the longest that a milter has a reason to send. */
const LONGEST = 128 * 1024;
const LENGTH_BYTES = 4;

/** One packet to a milter. */
export function packet(command: Command, ...parts: readonly Buffer[]): Buffer {
  const data = Buffer.concat([Buffer.from(command), ...parts]);
  return Buffer.concat([uint32(data.length), data]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A string as it travels: what is after a NUL would be another one. */
export function word(text: string, encoding: 'utf8' | 'latin1' = 'utf8'): Buffer {
  return Buffer.from(`${text.replaceAll('\0', '')}\0`, encoding);
}

/** Cuts what a milter sends into packets. Holds less than the longest packet and one piece. */
export class PacketReader {
  #held: Buffer[] = [];
  #length = 0;
  #wanted = LENGTH_BYTES + 1;

  /** The packets that this piece completes. Throws where it cannot be a milter. */
  take(piece: Buffer): Packet[] {
    this.#held.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#wanted) return [];
    const bytes = Buffer.concat(this.#held);
    const packets: Packet[] = [];
    let at = 0;
    for (;;) {
      this.#wanted = LENGTH_BYTES + 1;
      if (bytes.length - at >= LENGTH_BYTES) this.#wanted = LENGTH_BYTES + lengthAt(bytes, at);
      if (bytes.length - at < this.#wanted) break;
      const data = bytes.subarray(at + LENGTH_BYTES, at + this.#wanted);
      packets.push({ code: data.toString('latin1', 0, 1), data: data.subarray(1) });
      at += this.#wanted;
    }
    this.#held = [bytes.subarray(at)];
    this.#length = bytes.length - at;
    return packets;
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  const length = bytes.readUInt32BE(at);
  if (length >= 1 && length <= LONGEST) return length;
  throw new Error(`it sent a packet of ${length} bytes, which is not the milter protocol`);
}
