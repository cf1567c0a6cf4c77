import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { type CommandLine, CommandLines } from '../parsers/command-lines.ts';
import { DataDecoder, type Defect } from '../parsers/data-decoder.ts';

/**
 * The parser of smtp-server, with its own reading of lines and of message text put in place of the library's, which
 * takes bare LF for a line end, closes on a long line, and copies each message through a stream byte by byte.
 *
 * Relies on these internals of smtp-server 3.21.6 (pinned exactly; `test/unit/listener/smtp-server/server.test.ts` fails
 * when they change): the connection pipes its socket into what `_createParser()` returned, sets `isClosed` when nothing
 * more may be run, and the stream's own constructor calls `_flushData()` on 'finish'.
 *
 * States: `lines` → (`startMessage`) → `message` → (end of the text) → `lines`. In both, `#waiting` says that nothing is
 * read until `proceed` is called: a command is running, or the message cannot take more. Meanwhile the callback of
 * `_write` is held back, so that the socket stops reading.
 */

/** What the stream reads for. Each callback is followed by no other until `next` was called. */
export type Reader = {
  /** The first bytes have come, before anything is made of them. */
  begun(bytes: Buffer): void;
  maxLineLength(): number;
  line(line: CommandLine, next: () => void): void;
  messageEnded(defect: Defect | undefined, next: () => void): void;
  /** The client ended its side, and everything before that was handled. */
  inputEnded(): void;
};

export type MessageSink = {
  write(piece: Buffer): void;
  readonly ready: boolean;
  /** Calls back once, when `ready` is true again. */
  onReady(resume: () => void): void;
};

/** Commands that are answered in a row before other sockets get their turn. */
const BATCH = 100;
const EMPTY = Buffer.alloc(0);

export class LineStream extends SMTPStream {
  readonly #reader: Reader;
  readonly #lines = new CommandLines();
  #begun = false;
  #message: { decoder: DataDecoder; sink: MessageSink } | undefined;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #next: (() => void) | undefined;
  #waiting = false;
  #running = false;

  constructor(reader: Reader) {
    super();
    this.#reader = reader;
  }

  /** Whether the client sent more than was looked at so far. */
  get pending(): boolean {
    return this.#at < this.#chunk.length;
  }

  /** What comes next, until its end, is the text of a message. */
  startMessage(sink: MessageSink): void {
    this.#message = { decoder: new DataDecoder((piece) => sink.write(piece)), sink };
  }

  /** Go on reading. */
  readonly proceed = (): void => {
    this.#waiting = false;
    this.#run();
  };

  override _write(chunk: Buffer, _encoding: BufferEncoding | 'buffer', next: () => void): void {
    if (!this.#begun) this.#reader.begun(chunk);
    this.#begun = true;
    this.#chunk = chunk;
    this.#at = 0;
    this.#next = next;
    this.#run();
  }

  override _final(done: () => void): void {
    if (!this.isClosed) this.#reader.inputEnded();
    done();
  }

  /** A line without its end is not a command, however the connection ended. */
  override _flushData(): void {}

  #run(): void {
    // A handler that does not wait calls back from within: the loop below then goes on by itself.
    if (this.#running) return;
    this.#running = true;
    for (let steps = 0; !this.#waiting && !this.isClosed && this.pending; steps++) {
      if (steps === BATCH) {
        this.#waiting = true;
        setImmediate(this.proceed);
      } else if (this.#message === undefined) this.#readLine();
      else this.#readMessage(this.#message.decoder, this.#message.sink);
    }
    this.#running = false;
    if (this.#waiting && !this.isClosed) return;
    const next = this.#next;
    this.#next = undefined;
    this.#chunk = EMPTY;
    this.#at = 0;
    next?.();
  }

  #readLine(): void {
    const line = this.#lines.next(this.#chunk, this.#at, this.#reader.maxLineLength());
    this.#at = this.#lines.end;
    if (line === undefined) return;
    this.#waiting = true;
    this.#reader.line(line, this.proceed);
  }

  #readMessage(decoder: DataDecoder, sink: MessageSink): void {
    this.#at = decoder.write(this.#chunk, this.#at);
    if (decoder.ended) {
      this.#message = undefined;
      this.#waiting = true;
      this.#reader.messageEnded(decoder.defect, this.proceed);
    } else if (!sink.ready) {
      this.#waiting = true;
      sink.onReady(this.proceed);
    }
  }
}
