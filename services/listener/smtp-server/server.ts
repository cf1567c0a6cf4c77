import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { SessionConnection } from '../session/connection.ts';
import type { Session } from '../session/session.ts';
import type { TlsMaterial } from '../tls-material.ts';
import { LineStream, type MessageSink } from './stream.ts';

/**
 * What is used of smtp-server: it accepts connections, reads the PROXY header, does the TLS handshakes (implicit
 * and STARTTLS), and carries a socket from its opening to its close with time-outs and half-closed ends. Commands,
 * replies and message text are not the library's: `Session` answers, `LineStream` reads.
 *
 * Relies on these internals of smtp-server 3.21.6, which is why that version is pinned exactly
 * (`test/unit/listener/smtp-server/server.test.ts` fails when they change):
 * - server: `connect()` is called with every socket that is ready to speak; `updateSecureContext()` is called by the
 *   constructor and would load a certificate whose private key is public; TLS sockets are made with
 *   `secureContext.get('*')` and `_resolveSNI()`; `_expectsProxyHeader()` decides about the PROXY header;
 *   `_pendingSockets` holds sockets that are not ready to speak; options are read from the one object that was given,
 *   at every use, so getters make them live (`maxClients`, `socketTimeout`)
 * - connection: `init()`, `_setListeners()`, `_createParser()`, `upgrade()`, `close()`, `_onClose()`, `_onError()`,
 *   `_onTimeout()`, `_armTimeout()`, and the fields `_socket`, `_parser`, `_upgrading`, `_closing`
 */

export type ServerHooks = {
  tls: TlsMaterial;
  /** Whether this peer speaks the PROXY protocol. `address` as the socket gives it. */
  expectsProxy(address: string): boolean;
  session(connection: SessionConnection): Session;
  /** A connection failed before it was a session: a TLS handshake, a PROXY header. */
  failed(error: Error & { remoteAddress?: string | undefined }): void;
};

export class SmtpServer extends SMTPServer {
  /** Connections whose socket is open; the library's own set drops those that are closing. */
  readonly open = new Set<ClientConnection>();
  readonly #hooks: ServerHooks;

  constructor(options: SMTPServerOptions, hooks: ServerHooks) {
    super(options);
    this.#hooks = hooks;
    this.secureContext = hooks.tls.contexts;
    this.on('error', (error) => hooks.failed(error));
  }

  override connect(socket: Socket | TLSSocket, options?: SMTPConnectionOptions | null): void {
    const connection = new ClientConnection(this, socket, options ?? {}, this.#hooks);
    this.connections.add(connection);
    this.open.add(connection);
    connection.once('ended', () => this.open.delete(connection));
    connection.init();
  }

  /** Contexts are `TlsMaterial`'s. Also runs in the library's constructor, before there are any. */
  override updateSecureContext(): void {
    this.secureContext = new Map();
  }

  override _resolveSNI(name: string, answer: Parameters<SMTPServer['_resolveSNI']>[1]): void {
    answer(null, this.#hooks.tls.contextFor(name));
  }

  /**
   * The library goes on with the handshake one turn of the event loop after it accepted a socket. By then the socket
   * may be destroyed, and TLS on top of such a socket takes the whole process down with it (Node 24.21).
   */
  override _upgrade(socket: Socket, done: Parameters<SMTPServer['_upgrade']>[1]): void {
    if (socket.destroyed) done(new Error('connection closed before the TLS handshake'));
    else super._upgrade(socket, done);
  }

  override _expectsProxyHeader(socket: Socket): boolean {
    return this.#hooks.expectsProxy(socket.remoteAddress ?? '');
  }

  /** Take no more connections, and drop those that have not got as far as a session. */
  stopAccepting(): void {
    this.server.close();
    for (const socket of this._pendingSockets.values()) socket.destroy();
  }
}

export class ClientConnection extends SMTPConnection implements SessionConnection {
  readonly #hooks: ServerHooks;
  readonly #session: Session;
  /** Replies that are gathered to leave in one segment (RFC 2920 §3.2). */
  #unsent = '';
  #flushing = false;

  constructor(server: SmtpServer, socket: Socket | TLSSocket, options: SMTPConnectionOptions, hooks: ServerHooks) {
    super(server, socket, options);
    this.#hooks = hooks;
    this.#session = hooks.session(this);
  }

  get smtpSession(): Session {
    return this.#session;
  }

  get address(): string {
    return this.remoteAddress;
  }

  tls(): { protocol: string; cipher: string } | undefined {
    if (!(this._socket instanceof TLSSocket)) return undefined;
    return { protocol: this._socket.getProtocol() ?? 'unknown', cipher: this._socket.getCipher().name };
  }

  canUpgrade(): boolean {
    return this.#hooks.tls.contexts.has('*');
  }

  /** The library waits 100 ms for early talkers and looks up the name; here the session asks policy instead. */
  override init(): void {
    this._setListeners(() => {
      this.#session.begin().catch((error: unknown) => this.#bug(error));
    });
  }

  override _createParser(): LineStream {
    // Called by the library's constructor: `this` is complete when the first of these callbacks runs.
    return new LineStream({
      maxLineLength: () => this.#session.limits['command-length'],
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
    }, done);
  }

  override close(): void {
    this.#flush();
    super.close();
  }

  /** Close without waiting for the client's side to close. */
  destroy(): void {
    this._socket.destroy();
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
    if (this._upgrading) this.#hooks.failed(Object.assign(error, { remoteAddress: this.remoteAddress }));
    else this.#session.broken(error);
    this.close();
  }

  override _onTimeout(): void {
    if (this._closing) this._socket.destroy();
    else if (!this.#session.timedOut()) this._armTimeout();
  }

  /** A bug: the state of the session is unknown, so it ends. */
  #bug(error: unknown): void {
    this.#session.broken(error);
    this._socket.destroy();
  }

  #flush(): void {
    const text = this.#unsent;
    this.#unsent = '';
    // While the TLS handshake runs, what was written would go out in clear text in the middle of it.
    if (text !== '' && !this._upgrading && this._socket.writable) this._socket.write(text);
  }
}
