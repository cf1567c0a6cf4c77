import type { JetStreamManager } from 'nats';
import { JS_ERROR, jetStreamCode, keyOf, streamName } from './jetstream-stream.ts';

/**
 * Reads the messages of a stream by asking its leader for each (`STREAM.MSG.GET` with `next_by_subj`: the first message
 * from a sequence on). Slower than a consumer, and a user who may do this may do nothing else (`jetstream-stream.ts`).
 *
 * A leader that was replaced and does not know it yet answers from what it has, which is the beginning of the
 * same log. So what it shows is true, and where it ends tells nothing: a reading never takes "no message" for the end of
 * a stream that is known to go on.
 */

/** A message: `key` is undefined when its subject is not one of ours. */
export type LogMessage = { seq: number; key: string | undefined; data: Uint8Array };

/** Parts of a stream that are read concurrently. */
const SPANS = 32;
/** Messages that one part takes before the others are waited for; SPANS times as many are held in memory. */
const SPAN_MESSAGES = 32;

/** Messages from `start` to before `end`, of which all were asked for; `missing`: no message came from `end` on. */
type Span = { messages: LogMessage[]; end: number; missing: boolean; full: boolean };

export class StreamReader {
  readonly #jsm: JetStreamManager;
  readonly #bucket: string;

  constructor(jsm: JetStreamManager, bucket: string) {
    this.#jsm = jsm;
    this.#bucket = bucket;
  }

  /** The first message with this sequence or a later one; undefined when the leader has none. Fails as a request does. */
  async next(seq: number): Promise<LogMessage | undefined> {
    const wanted = { seq, next_by_subj: '>' };
    try {
      const message = await this.#jsm.streams.getMessage(streamName(this.#bucket), wanted);
      return { seq: message.seq, key: keyOf(this.#bucket, message.subject), data: message.data };
    } catch (error) {
      if (jetStreamCode(error) === JS_ERROR.noMessage) return undefined;
      throw error;
    }
  }

  /**
   * Give all messages from sequence `from` to `to` to `receive`, in their order; ends early where the leader has none,
   * and when `receive` returns false.
   */
  async read(from: number, to: number, receive: (message: LogMessage) => boolean): Promise<void> {
    /** Sequences of a part. Most of them have no message in a stream with one message for each subject. */
    let width = SPAN_MESSAGES / 2;
    for (let start = from; start <= to; ) {
      const starts = Array.from({ length: SPANS }, (_, i) => start + i * width).filter((first) => first <= to);
      const spans = await Promise.all(starts.map((first) => this.#readSpan(first, Math.min(first + width, to + 1))));
      let found = 0;
      let full = false;
      for (const span of spans) {
        for (const message of span.messages) if (!receive(message)) return;
        if (span.missing) return;
        found += span.messages.length;
        start = span.end;
        full = span.full;
        // What the later parts hold is not next.
        if (full) break;
      }
      if (full) width = Math.max(1, Math.floor(width / 2));
      else if (found < (starts.length * SPAN_MESSAGES) / 4) width = Math.min(width * 2, to);
    }
  }

  async #readSpan(start: number, end: number): Promise<Span> {
    const messages: LogMessage[] = [];
    for (let seq = start; seq < end; ) {
      if (messages.length === SPAN_MESSAGES) return { messages, end: seq, missing: false, full: true };
      const message = await this.next(seq);
      if (message === undefined) return { messages, end: seq, missing: true, full: false };
      if (message.seq >= end) break;
      messages.push(message);
      seq = message.seq + 1;
    }
    return { messages, end, missing: false, full: false };
  }
}
