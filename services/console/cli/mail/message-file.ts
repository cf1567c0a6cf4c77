import { createReadStream } from 'node:fs';
import { LONGEST_HEADER } from '#services/listener/contract.ts';
import { BodyHashes, wantedBodyHashes } from '#shared/dkim/body-hashes.ts';
import type { BodyHash } from '#shared/mail/authenticity.ts';
import { EmptyLineFinder } from '#shared/mail/empty-line-finder.ts';
import { HeaderStart } from '#shared/mail/header-start.ts';
import { usageError } from '../exit.ts';

/**
 * A message from a file, read as a listener reads one that a client sends: its header, and of its body only the hashes that
 * its signatures ask for. The file is of any size and is not held. Lines may end with LF, as they do on disk.
 */
export type MessageFile = {
  /** The header block with its empty line; latin1: a character is a byte. */
  header: string;
  /** Bytes of the message with CRLF line ends. */
  size: number;
  bodyHashes: BodyHash[];
  /** What no listener takes. */
  defect?: 'bare-cr' | 'nul' | undefined;
};

export async function readMessageFile(path: string): Promise<MessageFile> {
  const lines = new CrlfLines();
  const reader = new MessageReader();
  for await (const chunk of createReadStream(path)) reader.take(lines.take(chunk as Buffer));
  reader.take(lines.end());
  return { ...reader.end(), defect: lines.defect };
}

class MessageReader {
  readonly #start = new HeaderStart();
  readonly #emptyLine = new EmptyLineFinder();
  #header: Buffer[] = [];
  #headerBytes = 0;
  #hashes: BodyHashes | undefined;
  #size = 0;

  take(bytes: Buffer): void {
    const piece = this.#start.take(bytes);
    this.#size += piece.length;
    if (this.#hashes !== undefined) {
      this.#hashes.update(piece);
      return;
    }
    const end = this.#emptyLine.find(piece);
    const header = end < 0 ? piece : piece.subarray(0, end);
    this.#headerBytes += header.length;
    if (this.#headerBytes > LONGEST_HEADER)
      throw usageError('the header of the message is larger than 2 MB: no listener takes it');
    this.#header.push(header);
    if (end >= 0) this.#body().update(piece.subarray(end));
  }

  end(): Omit<MessageFile, 'defect'> {
    const bodyHashes = this.#body().digest();
    return { header: Buffer.concat(this.#header).toString('latin1'), size: this.#size, bodyHashes };
  }

  #body(): BodyHashes {
    this.#hashes ??= new BodyHashes(wantedBodyHashes(Buffer.concat(this.#header)));
    return this.#hashes;
  }
}

/** Lines that end with LF or CRLF become lines that end with CRLF, as a client sends them. */
class CrlfLines {
  defect: MessageFile['defect'];
  /** The bytes so far end with a CR. */
  #carriageReturn = false;
  #inLine = false;

  take(chunk: Buffer): Buffer {
    let text = (this.#carriageReturn ? '\r' : '') + chunk.toString('latin1');
    this.#carriageReturn = text.endsWith('\r');
    if (this.#carriageReturn) text = text.slice(0, -1);
    if (text !== '') this.#inLine = !text.endsWith('\n');
    if (text.includes('\0')) this.defect ??= 'nul';
    if (/\r(?!\n)/.test(text)) this.defect ??= 'bare-cr';
    return Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1');
  }

  /** The last line ends as the others do. */
  end(): Buffer {
    if (this.#carriageReturn) this.defect ??= 'bare-cr';
    return Buffer.from(this.#inLine || this.#carriageReturn ? '\r\n' : '');
  }
}
