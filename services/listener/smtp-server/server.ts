import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { SessionCounts, SessionLimits } from '#cluster/serving/session-counts.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { errorText } from '#shared/errors.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import * as replies from '../replies.ts';
import { formatLines } from '../session/session-reply.ts';
import { ClientConnection, type ConnectionHooks } from './client-connection.ts';
import { ProxyHeaderError, proxiedAddress } from './proxy-reader.ts';

/**
 * What is used of smtp-server: its listening socket, its TLS handshakes (implicit and STARTTLS), and how it carries a
 * socket from its opening to its close with time-outs and half-closed ends. Commands, replies and message text are not the
 * library's: `Session` answers, `LineStream` reads.
 *
 * A connection, from accept to session: counted in total → (PROXY header, where the peer is a proxy) → counted by client →
 * (TLS handshake, where TLS is implicit) → session. All of that has `openingMs`, however the bytes trickle; a peer that
 * closes its side meanwhile has closed the connection. Until the connection is closed it counts.
 *
 * Relies on these internals of smtp-server 3.21.6, which is why that version is pinned exactly
 * (`test/unit/listener/smtp-server/server.test.ts` fails when they change):
 * - server: `_acceptSocket()` is called with every accepted socket, and nothing more is done with it where that returns
 *   false; `updateSecureContext()` is called by the constructor and would load a certificate whose private key is public;
 *   `_upgrade()` makes TLS sockets with `secureContext.get('*')` and `_resolveSNI()`, and puts them into `_pendingSockets`
 *   in the place of the sockets below them; options are read from the one object that was given, at every use, so getters
 *   make them live (`socketTimeout`)
 * - connection: see client-connection.ts
 */

export type ServerHooks = ConnectionHooks & {
  counts: SessionCounts;
  limits(): SessionLimits;
  /** Whether this peer speaks the PROXY protocol. */
  expectsProxy(address: string): boolean;
  /** The listening socket is in trouble (too many open files, say); it goes on. */
  acceptFailed(error: Error): void;
  /** What became of a connection that is no session yet, for those who look on. */
  unopened(peer: string, what: string): void;
  /** There is no room for a connection. */
  refused(peer: string, reply: Reply): void;
  /** A connection closed before it was a session, and never said anything: a check whether the port is open. */
  left(peer: string): void;
};

/** How long a client that was refused may take to read why, and how many of them may at the same time. */
const FAREWELL_MS = 1000;
const MOST_FAREWELLS = 100;

class TooSlow extends Error {}

export class SmtpServer extends SMTPServer {
  /** Connections whose socket is open; the library's own set drops those that are closing. */
  readonly open = new Set<ClientConnection>();
  readonly #hooks: ServerHooks;
  #farewells = 0;

  constructor(options: SMTPServerOptions, hooks: ServerHooks) {
    super(options);
    this.#hooks = hooks;
    this.secureContext = hooks.tls.contexts;
    // Of opening the socket, `Listener.open` hears itself.
    this.on('error', (error) => {
      if (this.server.listening) hooks.acceptFailed(error);
    });
  }

  override _acceptSocket(socket: Socket): false {
    // Without a listener the error of a socket ends the process. Its close follows and is seen.
    socket.on('error', () => {});
    const peer = parseIp(socket.remoteAddress ?? '')?.toString();
    if (peer === undefined) socket.destroy();
    else void this.#enter(socket, peer);
    return false;
  }

  /** Contexts are `TlsMaterial`'s. Also runs in the library's constructor, before there are any. */
  override updateSecureContext(): void {
    this.secureContext = new Map();
  }

  override _resolveSNI(name: string, answer: Parameters<SMTPServer['_resolveSNI']>[1]): void {
    answer(null, this.#hooks.tls.contextFor(name));
  }

  /** Take no more connections, and drop those that have not got as far as a session. */
  stopAccepting(): void {
    this.server.close();
    for (const top of this._pendingSockets.values()) top.destroy();
  }

  /** Take a connection to its session, or end it. Where there is nothing to wait for, in this turn. Never rejects. */
  async #enter(socket: Socket, peer: string): Promise<void> {
    const { counts, limits, expectsProxy, openingMs } = this.#hooks;
    const place = counts.admit(limits());
    if (typeof place === 'string') return this.#refuse(socket, peer, replies.EXCEEDED[place]);
    socket.once('close', () => place.release());
    const implicit = this.options.secure === true;
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this._pendingSockets.get(socket)?.destroy();
    }, openingMs());
    this._pendingSockets.set(socket, socket);
    try {
      const expected = expectsProxy(peer);
      const proxied = expected ? await proxiedAddress(socket) : undefined;
      const address = proxied ?? peer;
      const full = place.claim(address, limits());
      if (full !== undefined) return this.#refuse(socket, address, replies.EXCEEDED[full]);
      const top = implicit ? await this.#handshake(socket) : socket;
      const connection = new ClientConnection(
        this,
        top,
        {
          address,
          isProxy: expected && proxied === undefined,
          counted: { instance: counts.instance, others: place.others },
        },
        this.#hooks,
      );
      this.connections.add(connection);
      this.open.add(connection);
      connection.once('ended', () => {
        this.open.delete(connection);
        // STARTTLS takes every listener off the socket.
        place.release();
      });
      connection.init();
    } catch (error) {
      this.#failed(socket, peer, isLate ? new TooSlow(`PROXY header or TLS handshake took ${openingMs()} ms`) : error);
    } finally {
      clearTimeout(deadline);
      this._pendingSockets.delete(socket);
    }
  }

  #handshake(socket: Socket): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      // TLS on top of a socket that is destroyed takes the whole process down with it (Node 24.21).
      if (socket.destroyed) return reject(new Error('connection closed before the TLS handshake'));
      const left = (): void => void top.destroy();
      this._upgrade(socket, (error, secure) => {
        top.off('end', left);
        if (secure !== undefined) resolve(secure);
        else reject(error ?? new Error('TLS handshake failed'));
      });
      const top = this._pendingSockets.get(socket) ?? socket;
      top.on('error', () => {});
      top.on('end', left);
    });
  }

  #failed(socket: Socket, peer: string, error: unknown): void {
    this.#hooks.unopened(peer, `connection failed: ${errorText(error)}`);
    if (socket.bytesRead === 0 && !(error instanceof TooSlow)) this.#hooks.left(peer);
    else if (this.server.listening) this.#hooks.failed(peer, error);
    if (error instanceof ProxyHeaderError) this.#farewell(socket, replies.BAD_PROXY_HEADER);
    else (this._pendingSockets.get(socket) ?? socket).destroy();
  }

  #refuse(socket: Socket, peer: string, reply: Reply): void {
    this.#hooks.refused(peer, reply);
    this.#hooks.unopened(peer, `connection refused: ${formatReply(reply)}`);
    // A client that waits for TLS would not understand.
    if (this.options.secure === true) socket.destroy();
    else this.#farewell(socket, reply);
  }

  #farewell(socket: Socket, reply: Reply): void {
    if (this.#farewells === MOST_FAREWELLS) {
      socket.destroy();
      return;
    }
    this.#farewells++;
    const timer = setTimeout(() => socket.destroy(), FAREWELL_MS);
    socket.once('close', () => {
      this.#farewells--;
      clearTimeout(timer);
    });
    // What the client says is read, and dropped: else the close would be a reset, and take the reply with it.
    socket.resume();
    socket.end(formatLines(reply));
  }
}
