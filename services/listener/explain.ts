import { isAscii } from 'node:buffer';
import type { z } from 'zod';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import { comesFromOutside, type ExplainedMessage, messageTooLarge } from '#services/policy/contract.ts';
import type { Calls } from '#services/topology.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { listenerContract } from './contract.ts';
import { defectReply, HEADER_TOO_BIG, OK } from './replies.ts';
import type { SessionConnection } from './session/connection.ts';
import { Session, type SessionDeps } from './session/session.ts';
import { formatLines } from './session/session-reply.ts';

/**
 * Rehearses a session: an ordinary `Session`, so that its replies are those of a client, on a connection that leads nowhere
 * and with a policy that only explains its verdicts. It ends before DATA; a message that is given is not sent, and policy is
 * asked about it as at its end: no mail, no router, nothing counted, no log.
 */

type Operation = (typeof listenerContract.operations)['session-explain'];
type Question = z.output<Operation['request']>;
type Explained = z.output<Operation['reply']>;
type Step = Explained['steps'][number];

/** In the trace fields of a message that is not queued. */
const NO_QUEUE_ID = 'none';

type ExplainDeps = SessionDeps & {
  /** The open listeners. */
  listeners: readonly ListenerConfig[];
  /** There is a certificate. */
  hasCertificate: boolean;
  /** The reply to a connection for which there is no room. */
  refusal(client: string): Reply | undefined;
  /** What else is to know of clients here. */
  notes: readonly string[];
};

/** Rejects with `not-found` where there is no such listener, or as the call to policy does. */
export async function explainSession(question: Question, deps: ExplainDeps): Promise<Explained> {
  const listener = choose(deps.listeners, question);
  const client = parseIp(question.client)?.toString() ?? question.client;
  const connection = new NoConnection(client, listener.tls !== 'none' && deps.hasCertificate);
  const policy = new ExplainingPolicy(deps.policy);
  const gateways = { has: (address: string) => deps.gateways.has(address), saw: () => undefined };
  const session = new Session(
    { ...deps, gateways, policy: policy.client, log: silentLogger },
    { config: listener },
    connection,
  );
  const steps: Step[] = [];
  const notes = [...deps.notes];
  const take = (command: string): boolean => {
    const step = { command, ...connection.reply(), why: policy.why() };
    steps.push(step);
    return step.code < 400;
  };
  const full = deps.refusal(client);
  if (full === undefined) await session.begin();
  else connection.write(formatLines(full));
  let goesOn = take('');
  for (const [line, shown] of commands(question, client)) {
    if (!goesOn) break;
    await connection.answer((done) => session.line({ text: line, ascii: isAscii(Buffer.from(line)) }, done));
    goesOn = take(shown);
  }
  if (goesOn && question.message !== undefined) {
    const reply = await replyToMessage(question.message, session);
    connection.write(formatLines(reply));
    take(`a message of ${question.message.size} bytes`);
    notes.push(...filterNotes(deps.filters.of(session.facts)));
  }
  session.closed();
  if (policy.failure !== undefined) throw policy.failure;
  const { name, kind } = listener;
  if (deps.gateways.has(client)) {
    notes.push(
      `anybody may come in through ${client}: the relay rules mean it only where an entry is this address alone`,
    );
  }
  return { node: deps.settings.current.node.name, listener: name, kind, steps, notes, message: policy.message };
}

/** A body does not come here, so the mail filters are not asked. */
function filterNotes(filters: readonly { name: string }[]): string[] {
  return filters.length === 0 ? [] : [`not asked: the mail filters ${filters.map(({ name }) => name).join(', ')}`];
}

/** The reply at the end of the message, as `message/incoming-message.ts` gives it. */
async function replyToMessage(
  { header, size, bodyHashes, defect }: NonNullable<Question['message']>,
  { transaction, facts, limits, deps }: Session,
): Promise<Reply> {
  if (transaction === undefined) throw new Error('a recipient was accepted outside a transaction');
  if (size > limits['message-size']) return messageTooLarge(limits['message-size']);
  if (header.length > limits['header-size']) return HEADER_TOO_BIG;
  if (defect !== undefined) return defectReply(defect);
  const { reversePath, smtpUtf8, named: recipients } = transaction;
  const hashes = comesFromOutside(facts) ? { bodyHashes } : {};
  const question = { facts, queueId: NO_QUEUE_ID, reversePath, recipients, smtpUtf8, size, ...hashes };
  const verdict = await deps.policy['message-check'](question, { bytes: Buffer.from(header, 'latin1') });
  return verdict.action === 'accept' ? OK : verdict.reply;
}

/** The listener that is named, else the first one that such a client would use. */
function choose(listeners: readonly ListenerConfig[], { listener: name, user }: Question): ListenerConfig {
  const kind = user === undefined ? 'relay' : 'submission';
  const found =
    name === undefined
      ? (listeners.find((one) => one.kind === kind) ?? listeners[0])
      : listeners.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = listeners.map((one) => one.name).join(', ') || 'none';
  throw new SealpostError('not-found', `there is no open listener${name ? ` "${name}"` : ''}; open: ${names}`);
}

/** Each line that the client says, and as it is shown. */
function commands({ helo, from = '', to, user }: Question, client: string): [line: string, shown: string][] {
  const literal = client.includes(':') ? `[IPv6:${client}]` : `[${client}]`;
  const utf8 = isAscii(Buffer.from(from + to)) ? '' : ' SMTPUTF8';
  const lines = [`EHLO ${helo ?? literal}`, `MAIL FROM:<${from}>${utf8}`, `RCPT TO:<${to}>`];
  const shown = lines.map((line): [string, string] => [line, line]);
  if (user !== undefined) {
    const response = Buffer.from(`\0${user}\0password`).toString('base64');
    shown.splice(1, 0, [`AUTH PLAIN ${response}`, `AUTH PLAIN (user ${user})`]);
  }
  return shown;
}

class NoConnection implements SessionConnection {
  readonly address: string;
  readonly isProxy = false;
  readonly counted = undefined;
  readonly #secure: boolean;
  #said = '';
  #done: () => void = () => undefined;

  constructor(address: string, secure: boolean) {
    this.address = address;
    this.#secure = secure;
  }

  tls(): { protocol: string; cipher: string } | undefined {
    return this.#secure ? { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' } : undefined;
  }

  canUpgrade(): boolean {
    return this.#secure;
  }

  write(lines: string): void {
    this.#said += lines;
  }

  close(): void {
    this.#done();
  }

  readMessage(): void {}

  startTls(): void {}

  /** Resolves when a command is answered, or the session ends with it. */
  answer(command: (done: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      this.#done = resolve;
      command(resolve);
    });
  }

  /** What was said since the last call. */
  reply(): { code: number; reply: string[] } {
    const lines = this.#said.trimEnd().split('\r\n');
    this.#said = '';
    return { code: Number(lines.at(-1)?.slice(0, 3)), reply: lines };
  }
}

/** A policy that is asked for its reasons; what has no effect before DATA is as it is. */
class ExplainingPolicy {
  readonly client: SessionDeps['policy'];
  /** What it says of the message. */
  message: ExplainedMessage | undefined;
  /** Why policy gave no verdict. */
  failure: unknown;
  #why: string[] = [];

  constructor(policy: Calls<'listener', 'policy'>) {
    const explain = policy['verdict-explain'];
    this.client = {
      ...policy,
      'client-check': (connect) => this.#noted(explain({ connect }).then((given) => given.connect)),
      'user-authenticate': ({ facts, user }) =>
        this.#noted(explain({ authenticate: { facts, user } }).then((given) => given.authenticate)),
      'sender-check': (sender) => this.#noted(explain({ sender }).then((given) => given.sender)),
      'recipient-check': (recipient) => this.#noted(explain({ recipient }).then((given) => given.recipient)),
      'message-check': (question, options) =>
        this.#noted(
          explain({ message: { ...question, header: Buffer.from(options?.bytes ?? []).toString('latin1') } }).then(
            ({ message }) => {
              this.message = message;
              return message?.verdict;
            },
          ),
        ),
    };
  }

  /** The reasons since the last call. */
  why(): string[] {
    const why = this.#why;
    this.#why = [];
    return why;
  }

  async #noted<V extends { why: string[] }>(asked: Promise<V | undefined>): Promise<V> {
    try {
      const verdict = await asked;
      if (verdict === undefined) throw new Error('policy left a question without an answer');
      this.#why.push(...verdict.why);
      return verdict;
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }
}
