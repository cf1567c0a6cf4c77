import type { ClientTls } from '#shared/mail/tls.ts';
import type { IncomingMessage } from '../message/incoming-message.ts';

/** The PROXY protocol where it is not configured, TLS where SMTP begins in clear text. */
export type ForeignProtocol = 'proxy' | 'tls';

/** The connection as a session sees it. */
export type SessionConnection = {
  /** Address of the client, an IPv4-mapped one in its IPv4 form. */
  readonly address: string;
  /** The address is that of a proxy, which did not say for whom it speaks: anybody may be behind it. */
  readonly isProxy: boolean;
  /** The process, and connections of the same client to it that were open when this one came; undefined: not counted. */
  readonly counted: { instance: string; others: number } | undefined;
  tls(): ClientTls | undefined;
  /** Whether TLS can begin: there is a certificate. */
  canUpgrade(): boolean;
  /** Send complete lines, soon. */
  write(lines: string): void;
  /** Send what was written, then close. */
  close(): void;
  /** Everything that comes next, until its end, is the text of a message. */
  readMessage(message: IncomingMessage): void;
  /** Begin TLS; whatever else came in clear text is dropped. `done` is called when TLS is up. */
  startTls(done: () => void): void;
};
