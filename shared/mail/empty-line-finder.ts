/**
 * Finds the empty line that ends a header (RFC 5322 §2.1) in bytes that are cut anywhere. A message that begins with
 * an empty line has an empty header.
 */

const EMPTY_LINE = Buffer.from('\r\n\r\n');

export class EmptyLineFinder {
  /** How many bytes of CRLF CRLF the bytes so far end with. The start of a message is like the start of a line. */
  #matched = 2;

  /** Offset after the empty line in this piece, or -1 when it has not come. Not to be called again after a hit. */
  find(piece: Buffer): number {
    let at = 0;
    while (this.#matched > 0 && at < piece.length) {
      const byte = piece[at++];
      if (byte === EMPTY_LINE[this.#matched]) this.#matched++;
      else this.#matched = byte === EMPTY_LINE[0] ? 1 : 0;
      if (this.#matched === EMPTY_LINE.length) return at;
    }
    if (at === piece.length) return -1;
    const found = piece.indexOf(EMPTY_LINE, at);
    if (found >= 0) return found + EMPTY_LINE.length;
    this.#matched = tail(piece, at);
    return -1;
  }
}

/** Length of the longest start of CRLF CRLF that the piece ends with, seen from `from`. */
function tail(piece: Buffer, from: number): number {
  for (let length = Math.min(EMPTY_LINE.length - 1, piece.length - from); length > 0; length--) {
    if (piece.subarray(piece.length - length).equals(EMPTY_LINE.subarray(0, length))) return length;
  }
  return 0;
}
