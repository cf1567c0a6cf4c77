import { isAscii } from 'node:buffer';
import { messageTooLarge } from '#services/policy/contract.ts';
import { BodyHashes, type BodyHashKind, RELAXED, wantedBodyHashes } from '#shared/dkim/body-hashes.ts';
import { errorText } from '#shared/errors.ts';
import type { Authenticity, BodyHash } from '#shared/mail/authenticity.ts';
import { EmptyLineFinder } from '#shared/mail/empty-line-finder.ts';
import { messageIdOf } from '#shared/mail/header.ts';
import { HeaderStart } from '#shared/mail/header-start.ts';
import type { MessageFacts } from '#shared/mail/message-facts.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { withOutcome } from '../filters/outcome.ts';
import type { Screening } from '../filters/screening.ts';
import type { Defect } from '../parsers/data-decoder.ts';
import { defectReply, HEADER_TOO_BIG, routerRefusal } from '../replies.ts';
import type { Acceptance, RouterTransfer } from './router-transfer.ts';

/**
 * One message on its way in: gathers the facts of it while its bytes pass to the router, and decides about it when its
 * end has come. Once its header is there, the body is hashed as its signatures ask for, so that nobody needs the body to
 * verify them.
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
  facts: { size: number; bodyHashes: BodyHash[] | undefined },
  header: Buffer,
) => Promise<({ action: 'accept' } & Acceptance) | Refused>;
type Refused = { action: 'reject' | 'defer'; reply: Reply; authenticity?: Authenticity | undefined };

/** Where the bytes go, and who decides. */
export type MessageParts = { transfer: RouterTransfer; screening: Screening | undefined; check: MessageCheck };

export type Ending = {
  reply: Reply;
  /** What each mail filter said, where they were asked; and whether one threw the message away. */
  filters?: Record<string, string> | undefined;
  discarded?: true;
  /** What went wrong on our side, for the log. */
  error?: string;
  /** Of a message that is refused or thrown away, where it has one. */
  messageId?: string | undefined;
  /** What policy found out about the message. */
  authenticity?: Authenticity | undefined;
};

/** What the client hears of a message that is thrown away. */
const ACCEPTED = reply(250, '2.0.0', 'Accepted');

export class IncomingMessage {
  readonly #transfer: RouterTransfer;
  readonly #screening: Screening | undefined;
  readonly #limits: MessageLimits;
  readonly #check: MessageCheck;
  readonly #verified: boolean;
  readonly #start = new HeaderStart();
  readonly #emptyLine = new EmptyLineFinder();
  #hashes: BodyHashes | undefined;
  #headerEnded = false;
  #headerBytes = 0;
  #size = 0;
  #eightBitHeader = false;
  #eightBitBody = false;
  #refusal: Reply | undefined;

  /** `verified`: its signatures will be looked at. */
  constructor({ transfer, screening, check }: MessageParts, limits: MessageLimits, verified: boolean) {
    this.#transfer = transfer;
    this.#screening = screening;
    this.#check = check;
    this.#limits = limits;
    this.#verified = verified;
  }

  get queueId(): string {
    return this.#transfer.queueId;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether more bytes may come now; if not, `onReady` says when. */
  get ready(): boolean {
    return this.#transfer.ready && (this.#screening?.ready ?? true);
  }

  onReady(resume: () => void): void {
    const again = (): void => {
      if (this.ready) resume();
      else this.onReady(resume);
    };
    if (!this.#transfer.ready) this.#transfer.onReady = again;
    else this.#screening?.onReady(again);
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
    const body = this.#headerEnded ? piece : this.#header(piece);
    if (this.#refusal !== undefined) return;
    this.#transfer.append(piece);
    this.#screening?.write(piece);
    if (body.length > 0) this.#body(body);
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
    this.#abort();
  }

  async #decide(): Promise<Ending> {
    const [own, ...bodyHashes] = this.#hashesOfBody().digest();
    if (own === undefined) throw new Error('a body without a hash');
    const facts: MessageFacts = {
      headerBytes: this.#headerBytes,
      size: this.#size,
      bodyHash: own.hash,
      eightBitBody: this.#eightBitBody,
      eightBitHeader: this.#eightBitHeader,
    };
    const header = this.#transfer.head(facts.headerBytes);
    // Policy and filters decide at the same time.
    const screened = this.#screening?.finish();
    const verdict = await this.#check(
      { size: facts.size, bodyHashes: this.#verified ? bodyHashes : undefined },
      header,
    );
    if (verdict.action !== 'accept') {
      return this.#refused({ reply: verdict.reply, authenticity: verdict.authenticity }, header);
    }
    const { prepend, originating, junk, header: rewritten, reversePath, authenticity, tls } = verdict;
    const acceptance = { prepend, originating, junk, header: rewritten, reversePath, authenticity, tls };
    const outcome = await screened;
    if (outcome === undefined) return this.#commit(facts, acceptance, header);
    const { said: filters } = outcome;
    switch (outcome.action) {
      case 'reject':
      case 'defer':
        return this.#refused({ reply: outcome.reply, filters, authenticity }, header);
      case 'discard':
        return this.#refused({ reply: ACCEPTED, filters, authenticity, discarded: true }, header);
      case 'accept':
        return this.#commit(facts, { ...withOutcome(acceptance, outcome, header), filters }, header);
    }
  }

  async #commit(facts: MessageFacts, acceptance: Acceptance, header: Buffer): Promise<Ending> {
    const { prepend, header: rewritten = header.toString('latin1') } = acceptance;
    const messageId = messageIdOf(rewritten) ?? messageIdOf(prepend.join(''));
    await this.#transfer.commit(messageId === undefined ? facts : { ...facts, messageId }, acceptance);
    // Only now is the message on disk, and only now may the client forget it (RFC 5321 §6.1).
    return {
      reply: { code: 250, enhanced: '2.0.0', text: `Queued as ${this.#transfer.queueId}` },
      authenticity: acceptance.authenticity,
      filters: acceptance.filters,
    };
  }

  /** It ends here, with this. A message whose client hears 4xx comes again, and is counted then. */
  #refused(ending: Ending, header: Buffer): Ending {
    const comesAgain = ending.reply.code >= 400 && ending.reply.code < 500;
    this.#abort(comesAgain ? undefined : ending.authenticity);
    return { ...ending, messageId: messageIdOf(header.toString('latin1')) };
  }

  #abort(authenticity?: Authenticity): void {
    this.#transfer.abort(authenticity);
    this.#screening?.abort();
  }

  #localTrouble(error: unknown): Ending {
    this.#abort();
    return { reply: routerRefusal(error), error: errorText(error) };
  }

  #refuse(refusal: Reply): void {
    this.#refusal ??= refusal;
    this.#abort();
  }

  /** Take a piece that begins in the header; returns what of it is body. */
  #header(piece: Buffer): Buffer {
    const end = this.#emptyLine.find(piece);
    const header = end < 0 ? piece : piece.subarray(0, end);
    this.#headerBytes += header.length;
    this.#eightBitHeader ||= !isAscii(header);
    if (this.#headerBytes > this.#limits.header) {
      this.#refuse(HEADER_TOO_BIG);
    } else if (end >= 0) {
      this.#headerEnded = true;
      this.#transfer.keep = this.#headerBytes;
    }
    return piece.subarray(header.length);
  }

  #body(piece: Buffer): void {
    this.#eightBitBody ||= !isAscii(piece);
    this.#hashesOfBody().update(piece);
  }

  /** Ours comes first, as the router keeps it for signing; then those that the header asks for, which has ended. */
  #hashesOfBody(): BodyHashes {
    this.#hashes ??= new BodyHashes([RELAXED, ...this.#wantedHashes()]);
    return this.#hashes;
  }

  #wantedHashes(): BodyHashKind[] {
    return this.#verified ? wantedBodyHashes(this.#transfer.head(this.#headerBytes)) : [];
  }
}
