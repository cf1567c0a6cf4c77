import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { errorText } from '#shared/errors.ts';
import type { ClientTls } from '#shared/mail/tls.ts';
import { isProxyHeader } from '../parsers/proxy-header.ts';
import type { ForeignProtocol, SessionConnection } from '../session/connection.ts';
import { longestLine } from '../session/offers.ts';
import type { Session } from '../session/session.ts';
import type { TlsContexts } from '../tls-material.ts';
import { clientCertificate } from './client-certificate.ts';
import { LineStream, type MessageSink } from './stream.ts';

/**
 * One client's connection that is ready to speak: carries lines and bytes between its socket and its session, and goes
 * over to TLS.
 *
 * Relies on these internals of smtp-server 3.21.6 (pinned exactly; `test/unit/listener/smtp-server/server.test.ts` fails
 * when they change): `init()`, `_setListeners()`, `_createParser()`, `upgrade()`, which takes every listener off the
 * socket, makes a TLS socket on top of it and gives that to `_armTimeout()`; `close()`, `_onClose()`, `_onError()`,
 * `_onTimeout()`, and the fields `_socket`, `_parser`, `_upgrading`, `_closing`.
 */

export type ConnectionHooks = {
  tls: TlsContexts;
  session(connection: SessionConnection): Session;
  /** A connection failed before it was a session, or on its way to TLS. */
  failed(peer: string, error: unknown): void;
  /** How long a PROXY header and a TLS handshake may take. */
  openingMs(): number;
};

type Client = Pick<SessionConnection, 'address' | 'isProxy' | 'counted'>;

export class ClientConnection extends SMTPConnection implements SessionConnection {
  readonly isProxy: boolean;
  readonly counted: SessionConnection['counted'];
  readonly #hooks: ConnectionHooks;
  readonly #session: Session;
  /** The socket that may be destroyed: in a handshake the TLS socket, never the one below it, which ends the process. */
  #top: Socket;
  /** Replies that are gathered to leave in one segment (RFC 2920 §3.2). */
  #unsent = '';
  #flushing = false;

  constructor(server: SMTPServer, socket: Socket | TLSSocket, client: Client, hooks: ConnectionHooks) {
    super(server, socket, { remoteAddress: client.address });
    this.isProxy = client.isProxy;
    this.counted = client.counted;
    this.#hooks = hooks;
    this.#top = socket;
    this.#session = hooks.session(this);
  }

  get smtpSession(): Session {
    return this.#session;
  }

  get address(): string {
    return this.remoteAddress;
  }

  tls(): ClientTls | undefined {
    if (!(this._socket instanceof TLSSocket)) return undefined;
    // Of a socket that was destroyed Node says null, whatever the types say.
    const cipher: { name: string; standardName: string } | null = this._socket.getCipher();
    const certificate = clientCertificate(this._socket);
    return {
      protocol: this._socket.getProtocol() ?? 'unknown',
      cipher: cipher?.name ?? 'unknown',
      ...(cipher && { suite: cipher.standardName }),
      ...(certificate && { certificate }),
    };
  }

  canUpgrade(): boolean {
    return this.#hooks.tls.contexts.has('*');
  }

  /** The library waits 100 ms for early talkers and looks up the name; here the session asks policy instead. */
  override init(): void {
    this.#session.log.begun(this.#session.listener.name, this.tls());
    this._setListeners(() => {
      this.#session.begin().catch((error: unknown) => this.#bug(error));
    });
  }

  override _createParser(): LineStream {
    // Called by the library's constructor: `this` is complete when the first of these callbacks runs.
    return new LineStream({
      begun: (bytes) => {
        const protocol = foreignProtocol(bytes);
        if (protocol !== undefined) this.#session.foreign(protocol);
      },
      maxLineLength: () => longestLine(this.#session),
      line: (line, next) => this.#session.line(line, () => this._whenWritable(next)),
      messageEnded: (defect, next) => {
        this.#session.messageEnded(defect, next).catch((error: unknown) => this.#bug(error));
      },
      inputEnded: () => this.#session.inputEnded(),
    });
  }

  write(lines: string): void {
    this.#unsent += lines;
    if (!(this._parser instanceof LineStream) || !this._parser.pending) this.#flush();
    else if (!this.#flushing) {
      // More commands have come already: their replies may join this one, if they take no longer than this turn.
      this.#flushing = true;
      setImmediate(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
  }

  readMessage(sink: MessageSink): void {
    if (this._parser instanceof LineStream) this._parser.startMessage(sink);
  }

  startTls(done: () => void): void {
    this.#flush();
    const retired = this._parser;
    // The library drains what else came in clear text through the retired parser, which must not wait for an answer.
    this.upgrade(() => {
      if (retired instanceof LineStream) retired.proceed();
    }, finished);
    const handshake = this.#top;
    const { log } = this.#session;
    const tls = () => this.tls();
    const left = (): void => void handshake.destroy(new Error('connection closed in the TLS handshake'));
    handshake.once('end', left);
    const deadline = setTimeout(() => this._onTimeout(), this.#hooks.openingMs());
    handshake.once('close', () => clearTimeout(deadline));
    function finished(): void {
      clearTimeout(deadline);
      handshake.off('end', left);
      // The library calls a turn after the handshake: the client may have left meanwhile.
      if (handshake.destroyed) return;
      done();
      log.secured(tls());
    }
  }

  override _armTimeout(socket: Socket = this._socket): void {
    this.#top = socket;
    super._armTimeout(socket);
  }

  override close(): void {
    this.#flush();
    // There are no words for a peer in a handshake.
    if (this._upgrading) this.#top.destroy();
    super.close();
  }

  /** Close without waiting for the client's side to close. */
  destroy(): void {
    this.#top.destroy();
  }

  /** The time-out of the configuration has changed. */
  rearm(timeoutMs: number): void {
    this._socket.setTimeout(timeoutMs);
  }

  override _onClose(): void {
    super._onClose();
    this.#session.closed();
    this.emit('ended');
  }

  /** The socket's 'close' follows and ends the session. */
  override _onError(error: Error): void {
    // A failed handshake is worth a line. A connection that the client broke is not: the end of the session is logged.
    if (this._upgrading) {
      this.#session.log.note(`TLS handshake failed: ${errorText(error)}`);
      this.#hooks.failed(this.remoteAddress, error);
    } else this.#session.broken(error);
    this.close();
  }

  override _onTimeout(): void {
    if (this._closing) this.destroy();
    else if (this._upgrading) this.#top.destroy(new Error(`TLS handshake took ${this.#hooks.openingMs()} ms`));
    else if (!this.#session.timedOut()) this._armTimeout();
  }

  /** A bug: the state of the session is unknown, so it ends. */
  #bug(error: unknown): void {
    this.#session.broken(error);
    this.destroy();
  }

  #flush(): void {
    const text = this.#unsent;
    this.#unsent = '';
    // While the TLS handshake runs, what was written would go out in clear text in the middle of it.
    if (text !== '' && !this._upgrading && this._socket.writable) this._socket.write(text);
  }
}

/**
 * What a client speaks that does not begin as one of SMTP does. A TLS handshake begins with a record of type 22 (RFC 8446
 * §5.1).
 */
function foreignProtocol(bytes: Buffer): ForeignProtocol | undefined {
  if (isProxyHeader(bytes)) return 'proxy';
  return bytes[0] === 22 && bytes[1] === 3 ? 'tls' : undefined;
}
