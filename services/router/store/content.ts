import type { MessageRecord } from './records.ts';

/** A message as it goes out, without signatures: fields in front of what came, or of what is left of it. */
export type Content = {
  /** The fields in front; behind them the header block, where it was rewritten. */
  front: Buffer;
  /** How many of the first stored bytes `front` takes the place of. */
  replaced: number;
};

/** Mailbox servers and readers move what has this field to the folder for junk. */
const JUNK_FIELD = 'X-Spam-Flag: YES\r\n';

/** `junk`: it goes to recipients who get it as junk. */
export function contentOf({ prepend, header, facts }: MessageRecord, junk = false): Content {
  const added = Buffer.from(junk ? JUNK_FIELD + prepend : prepend);
  if (header === undefined) return { front: added, replaced: 0 };
  return { front: Buffer.concat([added, Buffer.from(header, 'latin1')]), replaced: facts.headerBytes };
}

/** Its size in bytes. */
export function sizeOf({ prepend, header, facts }: MessageRecord, junk = false): number {
  const rewritten = header === undefined ? 0 : header.length - facts.headerBytes;
  return (junk ? JUNK_FIELD.length : 0) + Buffer.byteLength(prepend) + facts.size + rewritten;
}
