import { isAscii } from 'node:buffer';
import { messageTooLarge } from '#services/policy/contract.ts';
import type { MessageFacts } from '#services/router/contract.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { errorText } from '#shared/errors.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { Defect } from '../parsers/data-decoder.ts';
import { EmptyLineFinder } from '../parsers/empty-line-finder.ts';
import { HeaderStart } from '../parsers/header-start.ts';
import { defectReply, HEADER_TOO_BIG, routerRefusal } from '../replies.ts';
import type { Acceptance, RouterTransfer } from './router-transfer.ts';

/**
 * One message on its way in: gathers the facts of it while its bytes pass to the router, and decides about it when its
 * end has come.
 *
 * States:
 * - `receiving`: bytes go to the transfer
 * - `refused`: something is wrong already; the transfer is aborted and the rest of the bytes is dropped, because the
 *   client reads replies only after the end of its message
 * - `finished`: `finish` gave the one reply
 * - `lost`: the client went away before the end
 */

export type MessageLimits = { message: number; header: number };

/** Asks policy about the message; called once, with everything known. */
export type MessageCheck = (
  facts: { size: number },
  header: Buffer,
) => Promise<({ action: 'accept' } & Acceptance) | { action: 'reject' | 'defer'; reply: Reply }>;

export type Ending = {
  reply: Reply;
  /** What went wrong on our side, for the log. */
  error?: string;
};

export class IncomingMessage {
  readonly #transfer: RouterTransfer;
  readonly #limits: MessageLimits;
  readonly #check: MessageCheck;
  readonly #start = new HeaderStart();
  readonly #emptyLine = new EmptyLineFinder();
  readonly #hash = new RelaxedBodyHash();
  #headerEnded = false;
  #headerBytes = 0;
  #size = 0;
  #eightBitHeader = false;
  #eightBitBody = false;
  #refusal: Reply | undefined;

  constructor(transfer: RouterTransfer, limits: MessageLimits, check: MessageCheck) {
    this.#transfer = transfer;
    this.#limits = limits;
    this.#check = check;
  }

  get queueId(): string {
    return this.#transfer.queueId;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether more bytes may come now; if not, `onReady` says when. */
  get ready(): boolean {
    return this.#transfer.ready;
  }

  onReady(resume: () => void): void {
    this.#transfer.onReady = resume;
  }

  /** Take the next bytes, free of transparency dots. */
  write(bytes: Buffer): void {
    const piece = this.#start.take(bytes);
    if (piece.length === 0) return;
    this.#size += piece.length;
    if (this.#refusal !== undefined) return;
    if (this.#size > this.#limits.message) {
      this.#refuse(messageTooLarge(this.#limits.message));
      return;
    }
    if (this.#headerEnded) this.#body(piece);
    else this.#header(piece);
    if (this.#refusal === undefined) this.#transfer.append(piece);
  }

  /** The message is complete; resolves to the one reply to it. Never rejects. */
  async finish(defect: Defect | undefined): Promise<Ending> {
    if (defect !== undefined) this.#refuse(defectReply(defect));
    if (this.#refusal !== undefined) return { reply: this.#refusal };
    if (this.#transfer.failure !== undefined) return this.#localTrouble(this.#transfer.failure.error);
    try {
      return await this.#decide();
    } catch (error) {
      return this.#localTrouble(error);
    }
  }

  /** The client is gone. */
  lost(): void {
    this.#transfer.abort();
  }

  async #decide(): Promise<Ending> {
    const facts: MessageFacts = {
      headerBytes: this.#headerBytes,
      size: this.#size,
      bodyHash: this.#hash.digest(),
      eightBitBody: this.#eightBitBody,
      eightBitHeader: this.#eightBitHeader,
    };
    const verdict = await this.#check({ size: facts.size }, this.#transfer.head(facts.headerBytes));
    if (verdict.action !== 'accept') {
      this.#transfer.abort();
      return { reply: verdict.reply };
    }
    const { prepend, originating, junk, header, reversePath } = verdict;
    await this.#transfer.commit(facts, { prepend, originating, junk, header, reversePath });
    // Only now is the message on disk, and only now may the client forget it (RFC 5321 §6.1).
    return {
      reply: { code: 250, enhanced: '2.0.0', text: `Queued as ${this.#transfer.queueId}` },
    };
  }

  #localTrouble(error: unknown): Ending {
    this.#transfer.abort();
    return { reply: routerRefusal(error), error: errorText(error) };
  }

  #refuse(reply: Reply): void {
    this.#refusal ??= reply;
    this.#transfer.abort();
  }

  #header(piece: Buffer): void {
    const end = this.#emptyLine.find(piece);
    const header = end < 0 ? piece : piece.subarray(0, end);
    this.#headerBytes += header.length;
    this.#eightBitHeader ||= !isAscii(header);
    if (this.#headerBytes > this.#limits.header) {
      this.#refuse(HEADER_TOO_BIG);
    } else if (end >= 0) {
      this.#headerEnded = true;
      this.#transfer.keep = this.#headerBytes;
      if (end < piece.length) this.#body(piece.subarray(end));
    }
  }

  #body(piece: Buffer): void {
    this.#eightBitBody ||= !isAscii(piece);
    this.#hash.update(piece);
  }
}
