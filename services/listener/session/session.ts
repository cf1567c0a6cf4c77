import type { Config, ListenerConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { newId } from '#shared/ids.ts';
import { rfc5322Date } from '#shared/mail/header.ts';
import { LOCAL_ERROR, type Reply } from '#shared/mail/reply.ts';
import type { ClientAddresses } from '../gateways.ts';
import type { IncomingMessage } from '../message/incoming-message.ts';
import type { CommandLine } from '../parsers/command-lines.ts';
import type { Defect } from '../parsers/data-decoder.ts';
import * as replies from '../replies.ts';
import { verdictOf } from './ask-policy.ts';
import type { ForeignProtocol, SessionConnection } from './connection.ts';
import { dispatch } from './dispatch.ts';
import type { CommandDeps, CommandSession, Continuation, PolicyQuestion } from './handler.ts';
import { SessionLog, type Watched } from './session-log.ts';
import { type CommandResult, formatLines, type SessionReply } from './session-reply.ts';
import type { MailTransaction } from './transaction.ts';

/**
 * One SMTP session (RFC 5321 §3.1), from the opening of the connection to its end.
 *
 * States, each with what leads out of it:
 * - `connecting`: policy is asked about the client. Accepted → greeting, `commands`. Refused, or the client talks
 *   before the greeting → `closing`.
 * - `commands`: one command at a time; the next line waits for the reply to the last one. DATA whose transfer a router
 *   opened → `message`; QUIT, a 421 of ours → `closing`.
 * - `message`: what follows 354 goes to the message. Its end → one reply → `commands`.
 * - `closing`: the last reply is on its way, nothing is read any more.
 * - `closed`: the connection is gone. A message whose end had not come is aborted; one whose end had come is committed.
 *
 * Besides the state there are the transaction, the name given in EHLO, the user and TLS; STARTTLS resets all of them.
 * `drain` lets the current message finish and says 421 between commands.
 */

type State = 'connecting' | 'commands' | 'message' | 'closing' | 'closed';

export type SessionDeps = CommandDeps<PolicyQuestion> & Watched & { settings: Settings; gateways: ClientAddresses };

/** Failed authentications until the session ends, where `authentication.after-failure` does not end it at the first. */
const MOST_FAILED_LOGINS = 3;

export class Session implements CommandSession<PolicyQuestion> {
  readonly id = newId();
  readonly deps: SessionDeps;
  readonly connection: SessionConnection;
  readonly log: SessionLog;
  transaction: MailTransaction | undefined;
  continuation: Continuation | undefined;
  failedLogins = 0;

  readonly #listener: { readonly config: ListenerConfig };
  readonly #began = performance.now();
  #state: State = 'connecting';
  #facts: SessionFacts;
  #message: { incoming: IncomingMessage; trace: string } | undefined;
  #draining = false;
  /** We owe the client a reply: its silence means nothing. */
  #working = true;
  /** Where the last message ended is not beyond doubt. */
  #outOfStep = false;
  #errors = 0;
  #accepted = 0;

  constructor(deps: SessionDeps, listener: { readonly config: ListenerConfig }, connection: SessionConnection) {
    this.deps = deps;
    this.#listener = listener;
    this.connection = connection;
    this.#facts = {
      session: this.id,
      listener: listener.config.name,
      kind: listener.config.kind,
      client: { address: connection.address, name: null, helo: '' },
      tls: connection.tls(),
      scope: 'external',
      gateway: connection.isProxy || deps.gateways.has(connection.address) || undefined,
    };
    this.log = new SessionLog(deps, this.id, this);
  }

  get listener(): ListenerConfig {
    return this.#listener.config;
  }

  get facts(): SessionFacts {
    return this.#facts;
  }

  get secure(): boolean {
    return this.#facts.tls !== undefined;
  }

  get hostname(): string {
    return this.deps.settings.current.node.hostname;
  }

  get limits(): Config['limits'] {
    return this.deps.settings.current.limits;
  }

  get providers(): Config['authentication']['oauth'] {
    return this.deps.settings.current.authentication.oauth;
  }

  greeted(greeting: 'EHLO' | 'HELO', helo: string): void {
    this.transaction = undefined;
    this.#facts = { ...this.#facts, greeting, client: { ...this.#facts.client, helo } };
    this.deps.gateways.saw(this.connection, helo);
  }

  authenticated(user: string): void {
    this.#facts = { ...this.#facts, user };
  }

  recognized(): void {
    this.#facts = { ...this.#facts, scope: 'internal' };
  }

  startTls(): void {
    this.#write(replies.BEGIN_TLS);
    this.connection.startTls(() => {
      this.transaction = undefined;
      const { user: _, client, ...rest } = this.#facts;
      this.#facts = { ...rest, client: { ...client, helo: '' }, tls: this.connection.tls() };
    });
  }

  receive(incoming: IncomingMessage, trace: string): void {
    // The client may have left while the router was asked: nobody is there to send the message.
    if (this.#state === 'closed') {
      incoming.lost();
      return;
    }
    this.#message = { incoming, trace };
    this.#state = 'message';
    this.connection.readMessage(incoming);
  }

  /** Ask policy whether this client may speak, then greet it or send it away. */
  async begin(): Promise<void> {
    const { address, counted } = this.connection;
    const { name: listener, kind } = this.listener;
    const { gateway } = this.#facts;
    const call = this.deps.policy['client-check']({ session: this.id, listener, kind, address, gateway, counted });
    const verdict = await verdictOf(call, this.log);
    if (this.#state !== 'connecting') return;
    if (verdict.action !== 'accept') {
      const reply = verdict.reply === LOCAL_ERROR ? replies.POLICY_AWAY : verdict.reply;
      return this.#end(this.log.refused('connection refused', reply));
    }
    if (this.#draining) return this.#end(replies.STOPPING);
    const { name, nameFailed, scope } = verdict;
    this.#facts = { ...this.#facts, client: { ...this.#facts.client, name }, nameFailed, scope };
    this.#state = 'commands';
    this.#working = false;
    const greeting = this.listener.greeting.replaceAll('%s', () => rfc5322Date(new Date()));
    // RFC 2034 §4: no enhanced status code in the greeting.
    this.#write({ code: 220, text: `${this.hostname} ESMTP${greeting === '' ? '' : ` ${greeting}`}` });
  }

  /** The client does not speak SMTP. */
  foreign(protocol: ForeignProtocol): void {
    const reply = protocol === 'proxy' ? replies.UNEXPECTED_PROXY : replies.UNEXPECTED_TLS;
    this.#end(this.log.refused('connection refused', reply));
  }

  /** A line has come. `next` asks for the one after it. */
  line(line: CommandLine, next: () => void): void {
    if (this.#state === 'connecting') this.#end(replies.TOO_SOON);
    if (this.#state !== 'commands') {
      next();
      return;
    }
    let answer: CommandResult | Promise<CommandResult>;
    try {
      answer = this.#draining ? replies.STOPPING : dispatch(this, line);
    } catch (error) {
      answer = this.#unexpected(error);
    }
    if (answer instanceof Promise) {
      this.#working = true;
      answer.then(
        (given) => this.#answered(given, next),
        (error: unknown) => this.#answered(this.#unexpected(error), next),
      );
    } else this.#answered(answer, next);
  }

  /** The text of the message has ended; `next` asks for the command after it. */
  async messageEnded(defect: Defect | undefined, next: () => void): Promise<void> {
    if (this.#message === undefined) throw new Error('a message ended that had not begun');
    this.#working = true;
    const { incoming, trace } = this.#message;
    const ending = await incoming.finish(defect);
    this.log.message(incoming, trace, this.transaction, ending);
    if (ending.reply.code < 300) this.#accepted++;
    if (this.#state === 'closed')
      this.log.info('client left before the reply to its message', { queueId: incoming.queueId, trace });
    this.#message = undefined;
    this.transaction = undefined;
    if (this.#state === 'message') this.#state = 'commands';
    // Other servers see the end of this message elsewhere: what comes behind it may be a message that was smuggled in it.
    this.#outOfStep = defect !== undefined;
    this.#answered(ending.reply, next);
  }

  /** The client has been silent for as long as it may. Returns false when it waits for us. */
  timedOut(): boolean {
    if (this.#working || this.#message?.incoming.ready === false) return false;
    this.#end(replies.TIMED_OUT);
    return true;
  }

  /** The client closed its side, and everything that came before was answered. */
  inputEnded(): void {
    this.connection.close();
  }

  /** The connection failed, or what serves it did. */
  broken(error: unknown): void {
    this.log.failed('connection broken', error);
  }

  /** The connection is gone. */
  closed(): void {
    if (this.#state === 'closed') return;
    if (this.#message !== undefined && !this.#working) {
      const { incoming, trace } = this.#message;
      incoming.lost();
      this.log.left(incoming, trace);
    }
    this.#state = 'closed';
    const ms = Math.round(performance.now() - this.#began);
    this.log.ended(this.#facts, { messages: this.#accepted, errors: this.#errors, ms });
  }

  /** End the session as soon as no message is under way. */
  drain(): void {
    this.#draining = true;
    if (this.#state === 'commands' && !this.#working) this.#end(replies.STOPPING);
  }

  /** The grace period is over: whatever is under way, the client hears that it must come back. */
  abandon(): void {
    this.#end(replies.STOPPING);
  }

  #answered(answer: CommandResult, next: () => void): void {
    this.#working = false;
    if (this.#state === 'closed' || this.#state === 'closing') {
      next();
      return;
    }
    if (answer === undefined) return;
    // RFC 5321 §4.5.3.1.10: 452 for the recipients that are too many must not cost those that were accepted.
    if (answer.code >= 400 && answer !== replies.TOO_MANY_RECIPIENTS) this.#errors++;
    this.#write(answer);
    const farewell = this.#farewell(answer);
    if (farewell === undefined) {
      next();
      return;
    }
    if (farewell !== answer) this.#write(farewell);
    this.#close();
  }

  /** The reply after which the session is over, when it is over. */
  #farewell(answer: SessionReply): SessionReply | undefined {
    if (answer.code === 221 || answer.code === 421) return answer;
    // A peer that ends lines otherwise is not an SMTP client, or a message smuggled after another: it gets nothing more.
    if (answer === replies.BARE_LF || answer === replies.BARE_CR || this.#outOfStep) return answer;
    const { 'after-failure': afterFailure } = this.deps.settings.current.authentication;
    if (this.failedLogins >= (afterFailure === 'close' ? 1 : MOST_FAILED_LOGINS)) return replies.TOO_MANY_LOGINS;
    if (this.#errors >= this.limits.errors) return replies.TOO_MANY_ERRORS;
    return this.#draining && this.#state === 'commands' ? replies.STOPPING : undefined;
  }

  #end(reply: Reply): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#write(reply);
    this.#close();
  }

  #close(): void {
    this.#state = 'closing';
    this.connection.close();
  }

  #write(answer: SessionReply): void {
    const lines = formatLines(answer);
    this.log.replied(answer, lines);
    this.connection.write(lines);
  }

  #unexpected(error: unknown): Reply {
    this.log.failed('command failed', error);
    return LOCAL_ERROR;
  }
}
