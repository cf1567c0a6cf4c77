import { readFile } from 'node:fs/promises';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import { BindRequest, ExtendedRequest, type Filter, SearchRequest } from 'ldapts';
import { errorText } from '#shared/errors.ts';
import { printable } from '#shared/text.ts';
import { LARGEST_MESSAGE, type LdapMessage, MessageReader, type RawEntry } from './messages.ts';

/**
 * One connection to one LDAP server (RFC 4511), for one operation at a time.
 *
 * - opening: connects, and does TLS: from the start (`ldaps:`), or by StartTLS (RFC 4511 §4.14) before anything else
 * - idle: `search` and `bind` lead to busy
 * - busy: an operation waits for its result. A result leads to idle; silence until its time is over, an answer that is
 *   malformed or too large, or the end of the connection lead to closed, and the operation fails with `LdapTrouble`
 * - closed: of no use any more
 *
 * A server that answers with another result than success is a `LdapResult`; the connection stays of use.
 */

/** `TLS` before a password: from the start, by StartTLS, or never. */
export type LdapServer = { url: string; host: string; port: number; tls: 'start' | 'starttls' | 'off'; ca?: string };

/**
 * The server cannot be asked, or its answer is of no use. `silent`: it said nothing in time; `gone`: the connection ended by
 * itself.
 */
export class LdapTrouble extends Error {
  override name = 'LdapTrouble';
  readonly kind: 'silent' | 'gone' | 'other';

  constructor(message: string, kind: LdapTrouble['kind'] = 'other') {
    super(message);
    this.kind = kind;
  }
}

/** The server's answer to an operation (RFC 4511 appendix A), with its own words. */
export class LdapResult extends Error {
  override name = 'LdapResult';
  readonly code: number;

  constructor(code: number, text: string) {
    super(`result ${code}${NAMES[code] === undefined ? '' : ` (${NAMES[code]})`}${text === '' ? '' : `: ${text}`}`);
    this.code = code;
  }
}

export const ResultCode = {
  success: 0,
  sizeLimitExceeded: 4,
  referral: 10,
  constraintViolation: 19,
  noSuchObject: 32,
  invalidDnSyntax: 34,
  inappropriateAuthentication: 48,
  invalidCredentials: 49,
  insufficientAccessRights: 50,
} as const;

const NAMES: Record<number, string> = {
  1: 'operations error',
  3: 'time limit exceeded',
  8: 'stronger authentication required',
  10: 'referral',
  11: 'administrative limit exceeded',
  13: 'confidentiality required',
  32: 'no such object',
  48: 'inappropriate authentication',
  49: 'invalid credentials',
  50: 'insufficient access rights',
  51: 'busy',
  52: 'unavailable',
  53: 'unwilling to perform',
};

/** RFC 4511 §4.14.1. */
const STARTTLS = '1.3.6.1.4.1.1466.20037';
const LONGEST_TEXT = 300;
const LARGEST_ANSWER = 2 * LARGEST_MESSAGE;

export type Search = {
  base: string;
  scope: 'base' | 'sub';
  filter: Filter;
  attributes: readonly string[];
  /** Entries. */
  most: number;
};
/** `more`: there are others. `references`: servers that may have others. */
export type Found = { entries: RawEntry[]; more: boolean; references: string[] };

type Operation = {
  id: number;
  take: (message: LdapMessage) => void;
  fail: (error: Error) => void;
};

export class LdapConnection {
  readonly server: LdapServer;
  #socket: Socket;
  #reader = new MessageReader();
  #operation: Operation | undefined;
  #lastId = 0;
  /** Bytes of the answer so far. */
  #answered = 0;
  #trouble: LdapTrouble | undefined;

  private constructor(server: LdapServer, socket: Socket) {
    this.server = server;
    this.#socket = socket;
    this.#attach(socket);
  }

  /** A connection, with TLS where the server is to have it. `until`: by `performance.now()`. Fails with `LdapTrouble`. */
  static async open(server: LdapServer, until: number): Promise<LdapConnection> {
    const ca = server.ca === undefined ? undefined : await readFile(server.ca).catch(troubleOf);
    const { host, port } = server;
    const plain = server.tls === 'start' ? undefined : connectPlain({ host, port });
    const socket = plain ?? connectTls({ host, port, ...tlsOptions(host, ca) });
    const connection = new LdapConnection(server, socket);
    await connection.#ready(socket, plain === undefined ? 'secureConnect' : 'connect', until);
    if (server.tls === 'starttls') await connection.#startTls(ca, until);
    socket.setKeepAlive(true);
    return connection;
  }

  get closed(): boolean {
    return this.#trouble !== undefined;
  }

  /** Authenticate (RFC 4513 §5.1.3). Fails with `LdapResult`. A password must not be empty: that would not be checked. */
  async bind(dn: string, password: string, until: number): Promise<void> {
    if (dn === '' || password === '') throw new Error('a bind needs a DN and a password (RFC 4513 §5.1.2)');
    const id = ++this.#lastId;
    await this.#exchange('bound', new BindRequest({ messageId: id, dn, password }), id, until);
  }

  async search({ base, scope, filter, attributes, most }: Search, until: number): Promise<Found> {
    const id = ++this.#lastId;
    const found: Found = { entries: [], more: false, references: [] };
    // Seconds; the server gives up when nobody waits any more.
    const timeLimit = Math.max(1, Math.ceil((until - performance.now()) / 1000));
    const limits = { sizeLimit: most, timeLimit };
    const request = new SearchRequest({
      ...{ messageId: id, baseDN: base, scope, filter, ...limits, attributes: [...attributes] },
    });
    const take = (message: LdapMessage) => {
      if (message.kind === 'entry') {
        if (found.entries.length < most) found.entries.push(message.entry);
        else found.more = true;
      } else if (message.kind === 'reference') found.references.push(...message.urls.slice(0, 1));
    };
    try {
      await this.#exchange('found', request, id, until, take);
    } catch (error) {
      if (!(error instanceof LdapResult) || error.code !== ResultCode.sizeLimitExceeded) throw error;
      found.more = true;
    }
    return found;
  }

  close(reason = 'closed by this server'): void {
    this.#end(new LdapTrouble(reason));
  }

  /** Send a request; resolves when its result is success. Answers before that go to `take`. */
  #exchange(
    kind: 'bound' | 'found' | 'extended',
    request: { write: () => Buffer },
    id: number,
    until: number,
    take: (message: LdapMessage) => void = () => undefined,
  ): Promise<void> {
    return this.#within(until, (resolve, reject) => {
      if (this.#operation !== undefined) throw new Error('an LDAP connection is busy');
      this.#answered = 0;
      this.#operation = {
        id,
        fail: reject,
        take: (message) => {
          if (message.kind !== kind) return take(message);
          this.#operation = undefined;
          const { code, text, referral } = message;
          if (code === ResultCode.success) return resolve();
          const words = referral.length > 0 ? `referral to ${referral[0]}, which is not followed` : text;
          reject(new LdapResult(code, printable(words, LONGEST_TEXT)));
        },
      };
      this.#socket.write(request.write());
    });
  }

  async #startTls(ca: Buffer | undefined, until: number): Promise<void> {
    const id = ++this.#lastId;
    try {
      await this.#exchange('extended', new ExtendedRequest({ messageId: id, oid: STARTTLS }), id, until);
    } catch (error) {
      const refused = error instanceof LdapResult ? new LdapTrouble(`StartTLS refused: ${error.message}`) : error;
      this.close('StartTLS refused');
      throw refused;
    }
    const plain = this.#socket;
    plain.removeAllListeners('data');
    // What came in clear is not believed (RFC 4513 §3.1.1).
    this.#reader = new MessageReader();
    const { host } = this.server;
    const secure = connectTls({ socket: plain, ...tlsOptions(host, ca) });
    this.#socket = secure;
    this.#attach(secure);
    await this.#ready(secure, 'secureConnect', until);
  }

  #ready(socket: Socket, event: 'connect' | 'secureConnect', until: number): Promise<void> {
    return this.#within(until, (resolve, reject) => {
      this.#operation = { id: -1, fail: reject, take: () => undefined };
      socket.once(event, () => {
        this.#operation = undefined;
        resolve();
      });
    });
  }

  #attach(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => this.#received(bytes));
    socket.on('error', (error) => this.#end(new LdapTrouble(errorText(error), 'gone')));
    socket.on('close', () => this.#end(new LdapTrouble('it closed the connection', 'gone')));
  }

  #received(bytes: Buffer): void {
    this.#answered += bytes.length;
    try {
      if (this.#answered > LARGEST_ANSWER) throw new LdapTrouble('its answer is too large');
      for (const message of this.#reader.read(bytes)) {
        // Id 0 is the server's own notice, before it closes the connection (RFC 4511 §4.4.1).
        if (message.id === 0 && message.kind === 'extended') {
          throw new LdapTrouble(`it ends the connection: ${printable(message.text, LONGEST_TEXT)}`);
        }
        if (message.id === this.#operation?.id) this.#operation.take(message);
      }
    } catch (error) {
      this.#end(error instanceof LdapTrouble ? error : new LdapTrouble(errorText(error)));
    }
  }

  #end(trouble: LdapTrouble): void {
    if (this.#trouble !== undefined) return;
    this.#trouble = trouble;
    this.#socket.destroy();
    this.#operation?.fail(trouble);
    this.#operation = undefined;
  }

  async #within(until: number, start: (resolve: () => void, reject: (error: Error) => void) => void): Promise<void> {
    if (this.#trouble !== undefined) throw this.#trouble;
    const left = Math.max(0, until - performance.now());
    const late = () => this.#end(new LdapTrouble(`no answer within ${Math.round(left)} ms`, 'silent'));
    const timer = setTimeout(late, left);
    try {
      await new Promise<void>(start);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The certificate must lead to an authority in `ca`, or to a public one, and be for this host (RFC 4513 §3.1.3). */
function tlsOptions(host: string, ca: Buffer | undefined) {
  return {
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
    checkServerIdentity: (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      checkServerIdentity(host, certificate),
  };
}

function troubleOf(error: unknown): never {
  throw new LdapTrouble(`the file of authorities cannot be read: ${errorText(error)}`);
}
