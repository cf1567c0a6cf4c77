import { createServer, type Server } from 'node:https';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import Fastify, { type FastifyInstance } from 'fastify';
import { openPort, type Place, portOf } from '#cluster/open-port.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { serveRoutes } from './api.ts';
import type { Material } from './certificate.ts';
import { limitConnections } from './connections.ts';
import type { HttpDeps } from './deps.ts';
import { handleErrors, sendError } from './errors.ts';
import { serveEvents } from './events.ts';
import { serveFiles } from './files.ts';
import { describeApi, serveDescription } from './openapi.ts';
import { serveOpenId } from './openid/routes.ts';
import { serveSignIn } from './sign-in.ts';

/**
 * The HTTPS server of the console: everything that faces a browser, and nothing that knows mail.
 *
 *   api.ts          the routes that api/areas.ts lists, each as api/route.ts declares it
 *   guard.ts        who asks, and whether they may; sessions.ts, people.ts, links.ts: how they proved it
 *   sign-in.ts      the few addresses that everybody may ask; openid/: those of an OpenID provider
 *   events.ts       what happens, as it happens
 *   files.ts        the page, which is in `../page`
 *   openapi.ts      the description of all of it
 *   errors.ts       errors as answers
 *   certificate.ts  what the server shows
 *
 * To add an area to the API, see `api/route.ts`: nothing here changes.
 *
 * It trusts nobody: a request has a size, a time and a rate; whoever is not signed in gets the page, which shows nothing, and
 * the ways to sign in. There is no proxy header that it believes.
 */

/** A session that is being started, a request, and a connection that nobody uses. */
const HANDSHAKE_MS = 10_000;
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const IDLE_MS = 60_000;
/** A connection on which nothing moves, such as that of a client that reads no answer; no answer takes so long. */
const STALLED_MS = 120_000;
const MOST_CONNECTIONS = 1000;
/** Of one client, which may be a proxy with many people behind it. */
const MOST_OF_ONE = 300;
const MOST_HEADER_BYTES = 16 * 1024;
const BODY_LIMIT = 64 * 1024;
/** From one address (of IPv6, its /64): a page asks for some fifty files, and tables for rows as one scrolls. */
const REQUESTS = { max: 6000, timeWindow: 60_000 };

export class ConsoleServer {
  readonly #app: FastifyInstance;
  readonly #server: Server;
  readonly #place: Place;

  private constructor(app: FastifyInstance, server: Server, place: Place) {
    this.#app = app;
    this.#server = server;
    this.#place = place;
  }

  /** Rejects with `listen-failed`. */
  static async open(deps: HttpDeps, place: Place, material: Material): Promise<ConsoleServer> {
    let server: Server | undefined;
    const app = Fastify({
      bodyLimit: BODY_LIMIT,
      exposeHeadRoutes: false,
      forceCloseConnections: true,
      // An address that is none: no hook and no other handler of errors sees it.
      frameworkErrors: (_error, _request, reply) =>
        sendError(reply, new SealpostError('malformed', 'the address cannot be read')),
      // A path that comes in two forms is a way around rules; there is one.
      routerOptions: { caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: 1000 },
      serverFactory: (handler) => {
        server = createServer({ ...optionsOf(material), ...LIMITS }, handler);
        server.maxConnections = MOST_CONNECTIONS;
        server.timeout = STALLED_MS;
        limitConnections(server, MOST_OF_ONE);
        return server;
      },
    });
    await prepare(app, deps);
    if (server === undefined) throw new Error('fastify made no server');
    const opened = new ConsoleServer(app, server, place);
    try {
      await openPort(server, 'the console', place);
    } catch (error) {
      await opened.close();
      throw error;
    }
    server.on('error', (error) => deps.log.error({ error: errorText(error) }, 'the console is not served'));
    // Of a client that does not speak TLS, or does not trust the certificate.
    server.on('tlsClientError', (error) => deps.log.debug({ error: errorText(error) }, 'no TLS with a browser'));
    return opened;
  }

  get port(): number {
    return portOf(this.#server, this.#place.port);
  }

  /** Show another certificate from now on. */
  use(material: Material): void {
    this.#server.setSecureContext(optionsOf(material));
  }

  /** Ends what is open. */
  async close(): Promise<void> {
    await this.#app.close();
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const LIMITS = {
  handshakeTimeout: HANDSHAKE_MS,
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  keepAliveTimeout: IDLE_MS,
  maxHeaderSize: MOST_HEADER_BYTES,
};

function optionsOf({ certificate, key }: Material) {
  return { cert: certificate, key, minVersion: 'TLSv1.2' } as const;
}

async function prepare(app: FastifyInstance, deps: HttpDeps): Promise<void> {
  // JSON is the only form of a body: a form of another site could send others without asking.
  app.removeContentTypeParser('text/plain');
  handleErrors(app, deps.log);
  await app.register(helmet, HEADERS);
  await app.register(cookie);
  await app.register(rateLimit, {
    ...REQUESTS,
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    addHeadersOnExceeding: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
    },
  });
  await describeApi(app);
  app.addHook('onSend', async (request, reply) => {
    // What is answered is for this person now.
    if (request.url.startsWith('/api/')) reply.header('cache-control', 'no-store');
  });
  serveSignIn(app, deps);
  serveOpenId(app, deps);
  serveRoutes(app, deps);
  serveEvents(app, deps);
  serveDescription(app, deps);
  serveFiles(app);
  await app.ready();
}

/** Header fields that browsers obey. Nothing comes from elsewhere, nothing stands in the document itself. */
const HEADERS = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      fontSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  referrerPolicy: { policy: 'no-referrer' },
  xFrameOptions: { action: 'deny' },
  // It would hold for every port of the host, and there is nothing in clear text here to leave.
  strictTransportSecurity: false,
} as const;
