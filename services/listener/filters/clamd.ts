import { connect, type Socket } from 'node:net';
import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { SealpostError } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { printable } from '#shared/text.ts';
import type { Filter, FilterVerdict } from './filter.ts';
import { StreamFilter } from './stream-filter.ts';

/**
 * Asks clamd about a message with INSTREAM: `zINSTREAM\0`, then chunks, each behind its length in four bytes, then a length of
 * zero. It answers `stream: OK`, `stream: NAME FOUND` or `… ERROR`, with a NUL at the end, and may answer before it has seen
 * all (StreamMaxLength): whatever happens to the connection afterwards, that answer counts.
 */

const COMMAND = Buffer.from('zINSTREAM\0');
const END = Buffer.alloc(4);
/** Bytes of an answer: a name and a few words. */
const MOST_BYTES = 4096;
const LONGEST_NAME = 100;

export function openClamd({ url }: FilterConfig): Filter {
  const address = parseFilterUrl(url)?.address;
  if (address === undefined) throw new Error(`not the URL of clamd: ${url}`);
  const socket = connect({ ...address, noDelay: true });
  const filter = new StreamFilter(socket, {
    show: (piece) => writeChunk(socket, piece),
    end: () => socket.write(END),
  });
  let answer = '';
  socket.on('data', (bytes: Buffer) => {
    answer += bytes.toString('latin1');
    const end = answer.indexOf('\0');
    if (end >= 0) filter.answer(() => clamdVerdict(answer.slice(0, end)));
    else if (answer.length > MOST_BYTES) filter.fail(`its answer has more than ${MOST_BYTES} bytes`);
  });
  socket.write(COMMAND);
  return filter;
}

function writeChunk(socket: Socket, piece: Buffer): void {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(piece.length);
  socket.cork();
  socket.write(length);
  socket.write(piece);
  socket.uncork();
}

/** Throws `filter-failed`. */
export function clamdVerdict(answer: string): FilterVerdict {
  const text = answer.trim();
  if (text === 'stream: OK') return { action: 'accept', junk: false, changes: [], said: 'clean' };
  const found = /^stream: (.+) FOUND$/.exec(text)?.[1];
  if (found === undefined) {
    const advice = text.startsWith('INSTREAM size limit exceeded')
      ? ': set max-size of this filter no higher than StreamMaxLength in clamd.conf'
      : '';
    throw new SealpostError('filter-failed', `it answers "${printable(text)}"${advice}`);
  }
  const name = found.replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_NAME);
  return {
    action: 'reject',
    reply: reply(550, '5.7.1', `Message is rejected: it contains ${name}`),
    said: `found ${name}`,
  };
}
