import { setTimeout as delay } from 'node:timers/promises';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import type { Calls } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { MessageFacts } from '#shared/mail/message-facts.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';

/**
 * Carries the bytes of one message to the router that opened a transfer for it.
 *
 * Bytes are gathered into chunks of CHUNK_BYTES. A full chunk goes out when a byte follows it, so the last bytes, which
 * are all of them for a small message, go with `commit`. At most UNACKNOWLEDGED chunks wait for their answer; while
 * more are full, `ready` is false and the reader must wait for `onReady`.
 *
 * States: open → (failed | aborted | committing → committed or not). A chunk that fails makes the transfer `failed`: bytes
 * are dropped from then on, the router is told to abort, and `failure` says why. `abort` may be called in any state, any
 * number of times; while the commit is under way it does nothing, because a client that leaves without waiting for the
 * reply means its message.
 *
 * A commit without an answer (it took too long, or the connection broke) may have been done all the same. Then the router is
 * asked to abort it, and its answer is the outcome: given up, or committed before.
 */

const UNACKNOWLEDGED = 2;
const SMALLEST_BUFFER = 4096;
/** How long a router that did not answer a commit is asked for its outcome; and the pause between two questions. */
const ASK_MS = 5000;
const ASK_AGAIN_MS = 500;

export type OpenTransfer = { transfer: string; queueId: string; node: string };

type TransferDeps = { router: Calls<'listener', 'router'>; log: Logger };

/** What policy said about an accepted message, as `commit` wants it. */
export type Acceptance = {
  prepend: string[];
  originating: boolean;
  junk: boolean;
  /** It waits in the queue until an operator releases it. */
  hold?: boolean | undefined;
  header?: string | undefined;
  reversePath?: string | undefined;
  authenticity?: Authenticity | undefined;
  /** What it asks of TLS on its way. */
  tls?: MessageTls | undefined;
  /** What each mail filter said that was asked. */
  filters?: Record<string, string> | undefined;
};

export class RouterTransfer {
  readonly queueId: string;
  /** Called once when `ready` has become true again. */
  onReady: (() => void) | undefined;
  /** Chunks that hold the first `keep` bytes of the message stay available to `head`. */
  keep = Number.POSITIVE_INFINITY;

  readonly #router: Calls<'listener', 'router'>;
  readonly #opened: OpenTransfer;
  readonly #trace: string;
  readonly #log: Logger;
  #buffer: Buffer;
  #used = 0;
  /** Full chunks that were not sent yet. */
  readonly #queue: Buffer[] = [];
  readonly #kept: Buffer[] = [];
  #sequence = 0;
  #unacknowledged = 0;
  #failure: { error: unknown } | undefined;
  #aborted = false;
  #committing = false;
  #drained: (() => void) | undefined;

  /** `sizeHint`: bytes that the client announced. */
  constructor(deps: TransferDeps, opened: OpenTransfer, trace: string, sizeHint = 0) {
    this.queueId = opened.queueId;
    this.#router = deps.router;
    this.#log = deps.log;
    this.#opened = opened;
    this.#trace = trace;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(SMALLEST_BUFFER, sizeHint + 256)));
  }

  /** Why the router takes no more, when it does not. */
  get failure(): { error: unknown } | undefined {
    return this.#failure;
  }

  /** Whether more bytes may come without piling up. */
  get ready(): boolean {
    return this.#queue.length === 0 || this.#over;
  }

  /** Take the next bytes of the message; they are copied. */
  append(piece: Buffer): void {
    for (let from = 0; from < piece.length && !this.#over; ) {
      if (this.#used === CHUNK_BYTES) this.#flush();
      const to = Math.min(piece.length, from + CHUNK_BYTES - this.#used);
      this.#reserve(this.#used + to - from);
      piece.copy(this.#buffer, this.#used, from, to);
      this.#used += to - from;
      from = to;
    }
  }

  /** The first `bytes` bytes of the message, which `keep` must have covered. */
  head(bytes: number): Buffer {
    const last = this.#buffer.subarray(0, this.#used);
    const whole = this.#kept.length === 0 ? last : Buffer.concat([...this.#kept, last]);
    return whole.subarray(0, bytes);
  }

  /** Send what is left and have the message accepted. Rejects as the router's calls do. */
  async commit(facts: MessageFacts, acceptance: Acceptance): Promise<void> {
    if (this.#unacknowledged > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#committing = true;
    try {
      await this.#router['transfer-commit'](
        { transfer: this.#opened.transfer, sequence: this.#sequence, facts, ...acceptance },
        { ...this.#options(), bytes: this.#buffer.subarray(0, this.#used) },
      );
    } catch (error) {
      if (errorCode(error) !== CALL_ERRORS.timeout || !(await this.#wasCommitted())) throw error;
    } finally {
      this.#committing = false;
    }
  }

  /** Abort the transfer; whether its commit was done before. */
  async #wasCommitted(): Promise<boolean> {
    this.#aborted = true;
    const request = { transfer: this.#opened.transfer, queueId: this.queueId };
    const end = performance.now() + ASK_MS;
    for (;;) {
      try {
        const timeout = Math.max(ASK_AGAIN_MS, end - performance.now());
        const { committed } = await this.#router['transfer-abort'](request, { ...this.#options(), timeout });
        return committed === true;
      } catch (error) {
        if (performance.now() < end) {
          await delay(ASK_AGAIN_MS, undefined, { ref: false });
          continue;
        }
        this.#log.warn(
          { queueId: this.queueId, trace: this.#trace, node: this.#opened.node, error: errorText(error) },
          'possible duplicate: a router told neither whether it committed a message nor that it gave it up',
        );
        return false;
      }
    }
  }

  /**
   * Give the message up. The router is told if it can be reached; it drops transfers that are never finished.
   * `authenticity`: the message does not come again, and reports count what was found out about it.
   */
  abort(authenticity?: Authenticity): void {
    if (this.#aborted || this.#committing) return;
    this.#aborted = true;
    this.#release();
    const request = { transfer: this.#opened.transfer, authenticity };
    this.#router['transfer-abort'](request, this.#options()).catch((error: unknown) => {
      this.#log.debug(
        { queueId: this.queueId, trace: this.#trace, error: errorText(error) },
        'router did not confirm that a transfer was aborted',
      );
    });
  }

  get #over(): boolean {
    return this.#aborted || this.#failure !== undefined;
  }

  #options(): { node: string; trace: string } {
    return { node: this.#opened.node, trace: this.#trace };
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(size, this.#buffer.length * 2)));
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  #flush(): void {
    const position = (this.#sequence + this.#queue.length) * CHUNK_BYTES;
    if (position < this.keep) this.#kept.push(this.#buffer);
    this.#queue.push(this.#buffer);
    this.#buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#used = 0;
    this.#pump();
  }

  #pump(): void {
    while (this.#unacknowledged < UNACKNOWLEDGED) {
      const chunk = this.#queue.shift();
      if (chunk === undefined) return;
      this.#unacknowledged++;
      const sequence = this.#sequence++;
      this.#router['transfer-append'](
        { transfer: this.#opened.transfer, sequence },
        { ...this.#options(), bytes: chunk },
      ).then(
        () => this.#answered(),
        (error: unknown) => this.#fail(error),
      );
    }
  }

  #answered(): void {
    this.#unacknowledged--;
    this.#pump();
    this.#notify();
  }

  #fail(error: unknown): void {
    this.#unacknowledged--;
    this.#failure ??= { error };
    this.abort();
    this.#notify();
  }

  #release(): void {
    this.#queue.length = 0;
    this.#kept.length = 0;
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
  }

  #notify(): void {
    if (this.ready) {
      const resume = this.onReady;
      this.onReady = undefined;
      resume?.();
    }
    if (this.#unacknowledged === 0 || this.#over) this.#drained?.();
  }
}
