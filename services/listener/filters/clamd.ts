import { connect, type Socket } from 'node:net';
import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { printable } from '#shared/text.ts';
import type { Filter, FilterVerdict } from './filter.ts';

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
  return new ClamdFilter(connect({ ...address, noDelay: true }));
}

class ClamdFilter implements Filter {
  onReady: (() => void) | undefined;
  readonly #socket: Socket;
  readonly #verdict = Promise.withResolvers<FilterVerdict>();
  #answer = '';
  #over = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    // Trouble may come long before anybody waits for the verdict.
    this.#verdict.promise.catch(() => undefined);
    socket.on('drain', () => this.#notify());
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', (error) => this.#fail(errorText(error)));
    socket.on('close', () => this.#fail('it closed the connection without an answer'));
    socket.write(COMMAND);
  }

  get ready(): boolean {
    return this.#over || !this.#socket.writableNeedDrain;
  }

  write(piece: Buffer): void {
    if (this.#over || piece.length === 0) return;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(piece.length);
    this.#socket.cork();
    this.#socket.write(length);
    this.#socket.write(piece);
    this.#socket.uncork();
  }

  finish(): Promise<FilterVerdict> {
    if (!this.#over) this.#socket.write(END);
    return this.#verdict.promise;
  }

  abort(): void {
    this.#fail('it was not asked to the end');
  }

  #read(bytes: Buffer): void {
    if (this.#over) return;
    this.#answer += bytes.toString('latin1');
    const end = this.#answer.indexOf('\0');
    if (end < 0) {
      if (this.#answer.length > MOST_BYTES) this.#fail(`its answer has more than ${MOST_BYTES} bytes`);
      return;
    }
    try {
      this.#verdict.resolve(clamdVerdict(this.#answer.slice(0, end)));
    } catch (error) {
      this.#verdict.reject(error);
    }
    this.#end();
  }

  #fail(why: string): void {
    if (this.#over) return;
    this.#verdict.reject(new SealpostError('filter-failed', why));
    this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#socket.destroy();
    this.#notify();
  }

  #notify(): void {
    const resume = this.onReady;
    this.onReady = undefined;
    resume?.();
  }
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
