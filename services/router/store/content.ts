import type { MessageRecord } from './records.ts';

/** A message as it goes out, without signatures: fields in front of what came, or of what is left of it. */
export type Content = {
  /** The fields in front; behind them the header block, where it was rewritten. */
  front: Buffer;
  /** How many of the first stored bytes `front` takes the place of. */
  replaced: number;
};

export function contentOf({ prepend, header, facts }: MessageRecord): Content {
  const added = Buffer.from(prepend);
  if (header === undefined) return { front: added, replaced: 0 };
  return { front: Buffer.concat([added, Buffer.from(header, 'latin1')]), replaced: facts.headerBytes };
}

/** Its size in bytes. */
export function sizeOf({ prepend, header, facts }: MessageRecord): number {
  const rewritten = header === undefined ? 0 : header.length - facts.headerBytes;
  return Buffer.byteLength(prepend) + facts.size + rewritten;
}
