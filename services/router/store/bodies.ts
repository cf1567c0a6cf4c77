import type { Store } from '#cluster/store.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { Message } from './message.ts';
import { keys } from './records.ts';
import { unseal } from './seal.ts';

/**
 * The bytes of messages. Those of small messages stay in memory while delivery works on them, up to a limit for all of
 * them together, so that the common case reads nothing. The rest is read from the store piece by piece; the digest of a
 * piece is checked before any of its bytes is handed on.
 */

/** Bytes of all bodies in memory together. */
const MEMORY_BYTES = 32 * 1024 * 1024;

export class Bodies {
  readonly #store: Store;
  readonly #limit: number;
  #kept = 0;

  constructor(store: Store, limit = MEMORY_BYTES) {
    this.#store = store;
    this.#limit = limit;
  }

  /** Keep the bytes of a message, if they are one piece and there is room. */
  keep(message: Message, body: Buffer): void {
    if (message.record.chunks.length !== 1 || message.body !== undefined) return;
    if (this.#kept + body.length > this.#limit) return;
    this.#kept += body.length;
    message.body = body;
  }

  release(message: Message): void {
    if (message.body === undefined) return;
    this.#kept -= message.body.length;
    message.body = undefined;
  }

  /**
   * One piece as it was stored. Rejects with `corrupt` when it is missing or damaged, with `store-failed` when the
   * store cannot be read right now.
   */
  async piece(message: Message, n: number): Promise<Buffer> {
    if (message.body !== undefined && n === 0) return message.body;
    const key = keys.body(message.id, n);
    const sealed = await this.#store.get(key).catch((error: unknown) => {
      if (errorCode(error) === 'store-damaged')
        throw new SealpostError('corrupt', `${key} is damaged`, { cause: error });
      throw error;
    });
    if (sealed === undefined) throw new SealpostError('corrupt', `${key}: the record is missing`);
    const bytes = unseal(key, sealed);
    if (bytes.length !== message.record.chunks[n]) {
      throw new SealpostError('corrupt', `${key}: ${bytes.length} bytes instead of ${message.record.chunks[n]}`);
    }
    return bytes;
  }

  /** The pieces without the first `skip` bytes, one at a time. Throws like `piece`. */
  async *pieces(message: Message, skip = 0): AsyncGenerator<Buffer> {
    let missing = skip;
    for (const [n, size] of message.record.chunks.entries()) {
      if (missing < size) yield (await this.piece(message, n)).subarray(missing);
      missing = Math.max(0, missing - size);
    }
  }

  /** The first bytes of a message, at most as many as it has: its header block, or all of it. */
  async head(message: Message, bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = bytes;
    for (let n = 0; missing > 0 && n < message.record.chunks.length; n++) {
      const piece = await this.piece(message, n);
      parts.push(piece.subarray(0, missing));
      missing -= Math.min(piece.length, missing);
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }
}
