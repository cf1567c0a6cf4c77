import type { Calls } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Message } from '../../store/message.ts';
import type { SigningKeyRef } from '../../store/records.ts';
import { type Unsigned, UnsignedCounts } from './unsigned-counts.ts';

/**
 * Asks the signer at each attempt. While it does not answer, every message would wait for the same time-out; so the
 * signer counts as away for a moment, and the next call after that finds out whether it is back.
 */

export type SigningResult =
  | { ok: true; header: string; keys: SigningKeyRef[] }
  | { ok: false; state: 'deferred' | 'failed'; reply: Reply; local: boolean };

/** Shorter than the first retry, so that a retry asks again. */
const AWAY_MS = 500;

export class Signing {
  readonly #signer: Calls<'router', 'signer'>;
  readonly #log: Logger;
  readonly #unsigned = new UnsignedCounts();
  #awayUntil = 0;

  constructor(signer: Calls<'router', 'signer'>, log: Logger) {
    this.#signer = signer;
    this.#log = log;
  }

  /** Messages sent without a signature in best-effort mode since the start, by domain and reason. */
  get unsigned(): Unsigned[] {
    return this.#unsigned.all();
  }

  /**
   * The signatures of a message whose header block will be `header`, or why it cannot be sent now, or ever. `bodyHash`: of
   * the body as it will be sent.
   */
  async sign(message: Message, header: Uint8Array, bodyHash = message.record.facts.bodyHash): Promise<SigningResult> {
    const { record, id } = message;
    if (performance.now() < this.#awayUntil) return waiting('the signer does not answer');
    try {
      const answer = await this.#signer['message-sign'](
        { queueId: id, bodyHash, reversePath: record.reversePath },
        { bytes: header, trace: record.trace },
      );
      switch (answer.outcome) {
        case 'signed':
          return { ok: true, header: answer.header, keys: answer.keys };
        case 'not-configured':
          return { ok: true, header: '', keys: [] };
        case 'unsigned':
          this.#unsigned.count(answer.domain, answer.reason);
          this.#log.warn(
            { queueId: id, trace: record.trace, domain: answer.domain, reason: answer.reason },
            'message is sent without a signature',
          );
          return { ok: true, header: '', keys: [] };
        case 'hold':
          return waiting(`not signed for ${answer.domain}: ${answer.reason}`);
        case 'refuse':
          return {
            ok: false,
            state: 'failed',
            reply: reply(550, '5.7.5', `cannot be signed for ${answer.domain}: ${answer.reason}`),
            local: false,
          };
      }
    } catch (error) {
      return this.#unanswered(message, error);
    }
  }

  #unanswered(message: Message, error: unknown): SigningResult {
    const { record, id } = message;
    const code = errorCode(error);
    if (code === CALL_ERRORS.busy) return waiting('the signer is busy');
    if (code === CALL_ERRORS.unavailable || code === CALL_ERRORS.timeout) {
      if (performance.now() >= this.#awayUntil) {
        this.#log.warn(
          { queueId: id, trace: record.trace, error: errorText(error) },
          'the signer does not answer, mail waits',
        );
        this.#awayUntil = performance.now() + AWAY_MS;
      }
      return waiting('the signer does not answer');
    }
    this.#log.error({ queueId: id, trace: record.trace, err: error }, 'the signer failed, the message waits');
    return waiting(`the signer failed: ${errorText(error)}`);
  }
}

/** RFC 3463 §3.8: X.7.5, cryptographic failure. A signature that is missing for now is our trouble: the mail waits. */
function waiting(text: string): SigningResult {
  return { ok: false, state: 'deferred', reply: reply(451, '4.7.5', text), local: true };
}
