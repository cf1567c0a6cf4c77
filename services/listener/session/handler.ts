import type { Config, ListenerConfig } from '#cluster/config/schema/schema.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { Calls } from '#services/topology.ts';
import type { Logger } from '#shared/log.ts';
import type { Filters } from '../filters/filters.ts';
import type { IncomingMessage } from '../message/incoming-message.ts';
import type { Placement } from '../message/placement.ts';
import type { SessionConnection } from './connection.ts';
import type { SessionLog } from './session-log.ts';
import type { CommandResult } from './session-reply.ts';
import type { MailTransaction } from './transaction.ts';

/** What a command is, and what it may see of the session that it runs in and do to it. */

/** What policy can be asked. */
export type PolicyQuestion = keyof Calls<'listener', 'policy'>;

/**
 * A command: `argument` is what follows the verb and its space. `Asks` are the questions to policy that it may ask: those
 * that its row in the table of dispatch.ts names.
 */
export type CommandHandler<Asks extends PolicyQuestion = never> = (
  session: CommandSession<Asks>,
  argument: string,
  ascii: boolean,
) => CommandResult | Promise<CommandResult>;

/** What the next line is when it is not a command: a step of an AUTH exchange. */
export type Continuation = (text: string) => CommandResult | Promise<CommandResult>;

export type CommandDeps<Asks extends PolicyQuestion> = {
  policy: Pick<Calls<'listener', 'policy'>, Asks>;
  router: Calls<'listener', 'router'>;
  placement: Placement;
  filters: Filters;
  log: Logger;
};

export type CommandSession<Asks extends PolicyQuestion = never> = {
  readonly deps: CommandDeps<Asks>;
  readonly log: SessionLog;
  readonly listener: ListenerConfig;
  readonly limits: Config['limits'];
  /** Whose tokens users may log in with. */
  readonly providers: Config['authentication']['oauth'];
  readonly hostname: string;
  readonly connection: Pick<SessionConnection, 'canUpgrade'>;
  /** What is known of the client. */
  readonly facts: SessionFacts;
  /** TLS is up. */
  readonly secure: boolean;
  transaction: MailTransaction | undefined;
  continuation: Continuation | undefined;
  failedLogins: number;
  /** The client said EHLO or HELO, which also ends a transaction (RFC 5321 §4.1.4). */
  greeted(greeting: 'EHLO' | 'HELO', helo: string): void;
  authenticated(user: string): void;
  /** Policy takes the client for one of ours, by its certificate. */
  recognized(): void;
  /** Say that TLS may begin, and begin it. Nothing said in clear text counts afterwards (RFC 3207 §4.2). */
  startTls(): void;
  /** A router opened a transfer for the message that follows the result, which must be 354. */
  receive(incoming: IncomingMessage, trace: string): void;
};
