/**
 * Sees to it that what we put in front of a message stays part of its header. A message whose first line is not a header
 * field (RFC 5322 §2.2) would make every reader end the header there, behind our Received.
 *
 * - The line of a mailbox file (`From www-data Sat Nov 28 10:00:00 2026`, also quoted `>From`), which old mailers of PHP and
 *   cron send: dropped, and the next line looked at.
 * - Any other line: the message has no header, and an empty line (§2.1) is put before it.
 *
 * States: looking, with the bytes of a line that has not shown what it is → done: all bytes pass. Holds `LONGEST` bytes.
 */

/** A line of at most 998 characters and its CRLF (RFC 5322 §2.1.1). What is longer without a colon is no field. */
const LONGEST = 1000;
const FIELD = /^[\x21-\x39\x3b-\x7e]+[ \t]*:/;
const FIELD_BEGINS = /^[\x21-\x39\x3b-\x7e]*[ \t]*$/;
const MAILBOX_LINE = /^>?From /;
const EMPTY = Buffer.alloc(0);
const EMPTY_LINE = Buffer.from('\r\n');

export class HeaderStart {
  #held: Buffer = EMPTY;
  #done = false;

  /** The bytes that go on, now that this piece has come. */
  take(piece: Buffer): Buffer {
    if (this.#done) return piece;
    let bytes = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    this.#held = EMPTY;
    for (;;) {
      const end = bytes.subarray(0, LONGEST).indexOf(EMPTY_LINE);
      const line = bytes.toString('latin1', 0, end < 0 ? LONGEST : end);
      if (end === 0 || FIELD.test(line)) return this.#pass(bytes);
      const isMailboxLine = MAILBOX_LINE.test(line);
      if (end > 0 && isMailboxLine) {
        bytes = bytes.subarray(end + EMPTY_LINE.length);
        continue;
      }
      const mayBecome = isMailboxLine || FIELD_BEGINS.test(line) || line === '\r';
      if (end < 0 && mayBecome && bytes.length < LONGEST) {
        // Copied: the piece is a view of a buffer that is used again.
        this.#held = Buffer.from(bytes);
        return EMPTY;
      }
      return this.#pass(Buffer.concat([EMPTY_LINE, bytes]));
    }
  }

  #pass(bytes: Buffer): Buffer {
    this.#done = true;
    return bytes;
  }
}
