import { formatReply } from '#shared/mail/reply.ts';
import type { FilteredMail, FilterVerdict, HeaderChange } from '../filter.ts';
import type { Answer } from './answers.ts';
import { bodyStep, headerSteps, lastStep, offer, opening, type Step } from './commands.ts';
import type { MilterConnection } from './connection.ts';
import type { MessageFeed } from './message-feed.ts';
import * as protocol from './protocol.ts';

/** Changes that are kept of one message, and the characters of them all; header-changes.ts has stricter limits. */
const MOST_CHANGES = 500;
const MOST_CHARACTERS = 1024 * 1024;

const ACCEPTED: FilterVerdict = { action: 'accept', junk: false, changes: [], said: 'accept' };

/**
 * Show a message to a milter, one connection for each message: what it says of a client or a recipient counts for the message,
 * because the replies to those commands were given before. So one recipient that it refuses refuses the message.
 *
 * negotiation → connect, HELO, MAIL, RCPT, DATA → header → body → end → its changes, and the last word. Any answer but
 * "continue" ends it sooner. Rejects with what the milter did wrong.
 */
export async function converse(
  connection: MilterConnection,
  mail: FilteredMail,
  feed: MessageFeed,
): Promise<FilterVerdict> {
  await connection.open();
  const agreed = await negotiate(connection);
  const talk = new Conversation(connection, agreed);
  return (
    (await talk.all(opening(mail))) ??
    (await talk.header(await feed.header)) ??
    (await talk.body(feed)) ??
    (await talk.end(lastStep(mail)))
  );
}

/** What the milter wants of the protocol. Rejects where it is not a milter. */
export async function negotiate(connection: MilterConnection): Promise<number> {
  await connection.send(offer(protocol.VERSION, protocol.ACTIONS, protocol.PROTOCOL));
  const { code, data } = await connection.packet();
  if (code !== protocol.COMMAND.negotiate || data.length < 12)
    throw new Error('it did not answer the negotiation: it is not a milter');
  const [version, actions, steps] = [data.readUInt32BE(0), data.readUInt32BE(4), data.readUInt32BE(8)];
  if (version < 2 || version > protocol.VERSION) throw new Error(`it speaks version ${version} of the milter protocol`);
  if ((actions & ~protocol.ACTIONS) !== 0 || (steps & ~protocol.PROTOCOL) !== 0)
    throw new Error('it wants a variant of the protocol that was not offered');
  return steps;
}

class Conversation {
  readonly #connection: MilterConnection;
  readonly #agreed: number;

  constructor(connection: MilterConnection, agreed: number) {
    this.#connection = connection;
    this.#agreed = agreed;
  }

  /** These steps; what ended it, where an answer did. */
  async all(steps: Iterable<Step>): Promise<FilterVerdict | undefined> {
    // Those that are not answered go together: a header may have many fields.
    let silent: Buffer[] = [];
    for (const { command, packets } of steps) {
      if (this.#wants(command, 'omit')) continue;
      silent.push(...packets);
      if (this.#wants(command, 'silent')) continue;
      const answer = await this.#ask(silent);
      silent = [];
      const outcome = outcomeOf(answer);
      if (outcome !== undefined) return outcome;
    }
    if (silent.length > 0) await this.#connection.send(...silent);
    return undefined;
  }

  header(header: Buffer): Promise<FilterVerdict | undefined> {
    return this.all(headerSteps(header, (this.#agreed & protocol.LEADING_SPACE) !== 0));
  }

  async body(feed: MessageFeed): Promise<FilterVerdict | undefined> {
    let skipped = this.#wants(protocol.COMMAND.body, 'omit');
    for (;;) {
      const chunk = await feed.chunk();
      if (chunk === undefined) return undefined;
      if (skipped) continue;
      const { packets } = bodyStep(chunk);
      if (this.#wants(protocol.COMMAND.body, 'silent')) await this.#connection.send(...packets);
      else {
        const answer = await this.#ask(packets);
        if (answer.kind === 'skip' && (this.#agreed & protocol.SKIP) !== 0) skipped = true;
        else {
          const outcome = outcomeOf(answer);
          if (outcome !== undefined) return outcome;
        }
      }
    }
  }

  async end(last: Step): Promise<FilterVerdict> {
    const changes: HeaderChange[] = [];
    let quarantine: string | undefined;
    let characters = 0;
    await this.#connection.send(...last.packets);
    for (;;) {
      const answer = await this.#connection.answer();
      if (answer.kind === 'change') {
        changes.push(answer.change);
        characters += JSON.stringify(answer.change).length;
        if (changes.length > MOST_CHANGES || characters > MOST_CHARACTERS)
          throw new Error('it asks for more changes than any header has use for');
      } else if (answer.kind === 'quarantine') quarantine = answer.reason;
      else if (answer.kind === 'continue' || answer.kind === 'accept') return accepted(changes, quarantine);
      else return outcomeOf(answer) ?? ACCEPTED;
    }
  }

  async #ask(packets: Buffer[]): Promise<Answer> {
    await this.#connection.send(...packets);
    return await this.#connection.answer();
  }

  #wants(command: protocol.Command, what: 'omit' | 'silent'): boolean {
    const step = protocol.STEPS[command];
    return step !== undefined && (this.#agreed & step[what]) !== 0;
  }
}

function accepted(changes: readonly HeaderChange[], quarantine: string | undefined): FilterVerdict {
  const verdict = { action: 'accept', junk: false, changes } as const;
  return quarantine === undefined
    ? { ...verdict, said: 'accept' }
    : { ...verdict, hold: true, said: `quarantine: ${quarantine}` };
}

/** What an answer before the end means; undefined: go on. */
function outcomeOf(answer: Answer): FilterVerdict | undefined {
  switch (answer.kind) {
    case 'continue':
    case 'progress':
      return undefined;
    case 'accept':
      return ACCEPTED;
    case 'discard':
      return { action: 'discard', said: 'discard' };
    case 'reject':
    case 'defer':
      return { action: answer.kind, reply: answer.reply, said: formatReply(answer.reply) };
    case 'skip':
    case 'change':
    case 'quarantine':
      throw new Error(`it answered with a ${answer.kind} where only a verdict can come`);
  }
}
