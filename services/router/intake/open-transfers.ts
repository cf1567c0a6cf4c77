import type { Envelope } from '#shared/mail/envelope.ts';
import type { IntakeTransfer } from './transfer.ts';

/**
 * The open transfers, bounded. A caller that opens without end pays for it with its own: beyond its share, its transfer that
 * was silent for longest makes room. Where callers without number fill the whole, that of all does. So whoever goes on
 * with a transfer in good time keeps it.
 */

/** Transfers of one caller, several times the sessions of a listener, and of all. */
const MOST_OF_ONE = 5000;
const MOST = 20_000;
/** Characters of their envelopes, which are in memory. */
const MOST_TEXT_OF_ONE = 64 * 1024 * 1024;
const MOST_TEXT = 256 * 1024 * 1024;

type Limits = { of: { count: number; text: number }; all: { count: number; text: number } };
const LIMITS: Limits = {
  of: { count: MOST_OF_ONE, text: MOST_TEXT_OF_ONE },
  all: { count: MOST, text: MOST_TEXT },
};

export class OpenTransfers {
  readonly #limits: Limits;
  readonly #all = new Transfers();
  readonly #byCaller = new Map<string, Transfers>();

  constructor(limits: Limits = LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#all.size;
  }

  get(id: string): IntakeTransfer | undefined {
    return this.#all.get(id);
  }

  values(): Iterable<IntakeTransfer> {
    return this.#all.values();
  }

  /** Returns the transfers that made room; they are deleted. */
  add(transfer: IntakeTransfer): IntakeTransfer[] {
    const own = this.#byCaller.get(transfer.caller) ?? new Transfers();
    this.#byCaller.set(transfer.caller, own);
    own.set(transfer.id, transfer);
    this.#all.set(transfer.id, transfer);
    return [...this.#makeRoom(own, this.#limits.of), ...this.#makeRoom(this.#all, this.#limits.all)];
  }

  /** It goes on: the others come before it when room is made. */
  touch(transfer: IntakeTransfer): void {
    this.#byCaller.get(transfer.caller)?.set(transfer.id, transfer);
    this.#all.set(transfer.id, transfer);
  }

  delete({ id, caller }: IntakeTransfer): void {
    const own = this.#byCaller.get(caller);
    own?.delete(id);
    if (own?.size === 0) this.#byCaller.delete(caller);
    this.#all.delete(id);
  }

  #makeRoom(transfers: Transfers, most: { count: number; text: number }): IntakeTransfer[] {
    const made: IntakeTransfer[] = [];
    for (const silent of transfers.values()) {
      // The newest stays in any case.
      if (transfers.size === 1 || (transfers.size <= most.count && transfers.text <= most.text)) break;
      this.delete(silent);
      made.push(silent);
    }
    return made;
  }
}

/** Transfers by id, the one that was silent for longest first, and the characters of their envelopes. */
class Transfers extends Map<string, IntakeTransfer> {
  text = 0;

  override set(id: string, transfer: IntakeTransfer): this {
    // One that is there already becomes the last.
    if (!super.delete(id)) this.text += textOf(transfer.envelope);
    return super.set(id, transfer);
  }

  override delete(id: string): boolean {
    const transfer = this.get(id);
    if (transfer !== undefined) this.text -= textOf(transfer.envelope);
    return super.delete(id);
  }
}

function textOf({ reversePath, envid = '', recipients }: Envelope): number {
  let length = reversePath.length + envid.length;
  for (const { address, original = '', orcpt = '', reversePath: own = '', reportTo = '' } of recipients) {
    length += address.length + original.length + orcpt.length + own.length + reportTo.length;
  }
  return length;
}
