import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { printable } from '#shared/text.ts';
import type { Filter, FilteredMail, FilterVerdict } from '../filter.ts';
import { MilterConnection } from './connection.ts';
import { converse } from './conversation.ts';
import { MessageFeed } from './message-feed.ts';

/**
 * Shows a message to a milter: a program that speaks the protocol of sendmail's libmilter, as those do that people run beside
 * Postfix and sendmail (OpenDKIM, OpenDMARC …).
 *
 * A milter expects a whole SMTP session. It gets one for each message, when the message comes, with the recipients that were
 * accepted: so it is asked as any other filter is, a session that sends no message costs it nothing, and a message that it
 * keeps waiting keeps no other waiting.
 *
 *   milter.ts → conversation.ts (what is said in which order) → commands.ts (in packets), connection.ts (the socket)
 *                 ↑ message-feed.ts (the message as it comes)      answers.ts (what it answers), protocol.ts (the words)
 */

const LONGEST_ERROR = 200;

export function openMilter({ url }: FilterConfig, mail: FilteredMail): Filter {
  const parsed = parseFilterUrl(url);
  if (parsed === undefined) throw new Error(`not the URL of a milter: ${url}`);
  return new MilterFilter(new MilterConnection(parsed.address), mail);
}

class MilterFilter implements Filter {
  readonly #connection: MilterConnection;
  readonly #feed = new MessageFeed();
  readonly #verdict: Promise<FilterVerdict>;

  constructor(connection: MilterConnection, mail: FilteredMail) {
    this.#connection = connection;
    this.#verdict = this.#ask(mail);
    // Trouble may come long before anybody waits for the verdict.
    this.#verdict.catch(() => undefined);
  }

  get ready(): boolean {
    return this.#feed.ready;
  }

  get onReady(): (() => void) | undefined {
    return this.#feed.onReady;
  }

  set onReady(resume: (() => void) | undefined) {
    this.#feed.onReady = resume;
  }

  write(piece: Buffer): void {
    this.#feed.write(piece);
  }

  finish(): Promise<FilterVerdict> {
    this.#feed.end();
    return this.#verdict;
  }

  abort(): void {
    this.#feed.drop();
    this.#connection.destroy();
  }

  async #ask(mail: FilteredMail): Promise<FilterVerdict> {
    try {
      const verdict = await converse(this.#connection, mail, this.#feed);
      this.#connection.end();
      return verdict;
    } catch (error) {
      this.#connection.destroy();
      throw new SealpostError('filter-failed', printable(errorText(error), LONGEST_ERROR));
    } finally {
      this.#feed.drop();
    }
  }
}
