/**
 * A number in LevelDB's files: 7 bits a byte, lowest first, the top bit set in all but the last. Answers where what
 * follows begins, too; undefined when it is cut off.
 */
export function readVarint(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let [value, factor] = [0, 1];
  for (let end = at; end < Math.min(bytes.length, at + 8); end++) {
    const byte = bytes[end] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: end + 1 };
    factor *= 128;
  }
  return undefined;
}

/** The bytes of a number. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}
