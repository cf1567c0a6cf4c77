import type { FastifyInstance, FastifyReply } from 'fastify';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { EVENTS } from '../api/areas.ts';
import type { EventSource } from '../api/route.ts';
import { parsePart } from './api.ts';
import { askedBy, type HttpDeps } from './deps.ts';
import { admit, requireAccess, type SignedIn } from './guard.ts';
import { describeEvents } from './openapi.ts';

/**
 * `GET /api/events?follow=overview`: server-sent events (HTML Living Standard §9.2) of what `api/areas.ts` lists, for as long
 * as the browser listens and its session lasts. A browser that reads too slowly misses events, so what waits for it stays
 * small; whoever follows must do without single ones.
 */

const MOST_STREAMS = 200;
/** Of one session, or of one token: a stream for each open page. */
const MOST_OF_ONE = 8;
/** Bytes that wait for a browser before events are left out. */
const MOST_WAITING = 256 * 1024;

export function serveEvents(app: FastifyInstance, deps: HttpDeps): void {
  const streams = new Streams();
  // Role and domains of whoever follows may have changed: browsers ask again by themselves.
  const unfollow = deps.settings.onChange(() => streams.closeAll());
  app.addHook('preClose', async () => {
    unfollow();
    streams.closeAll();
  });
  app.route({
    method: 'GET',
    url: '/api/events',
    schema: describeEvents(),
    preParsing: async (request) => {
      request.signedIn = admit(request, { access: 'viewer', domains: 'filtered' }, deps);
    },
    handler: async (request, reply) => {
      const asking = request.signedIn ?? admit(request, { access: 'viewer', domains: 'filtered' }, deps);
      const query = request.query as Record<string, unknown>;
      const followed = sourcesIn(query['follow'], asking).map((source) => ({
        source,
        query: parsePart('query', source.query, query),
      }));
      const gone = new AbortController();
      const stops: (() => void)[] = [() => gone.abort()];
      const close = streams.open(asking, () => {
        for (const stop of stops.splice(0)) stop();
        reply.raw.end();
      });
      reply.raw.once('close', close);
      begin(reply);
      const asked = askedBy(asking.person, deps, gone.signal);
      try {
        for (const one of followed) {
          stops.push(one.source.begin({ ...asked, query: one.query }, sender(reply, one.source, deps.log)));
        }
      } catch (error) {
        deps.log.error({ err: error }, 'events cannot be followed: please report this bug');
        close();
      }
      return reply;
    },
  });
}

/** The streams that are open, by whose they are. */
class Streams {
  readonly #open = new Map<string, Set<() => void>>();

  /** Answers the way to close it, which also the end of its session takes. Fails with `too-many-requests`. */
  open({ person, session }: SignedIn, end: () => void): () => void {
    const key = session?.key ?? person.name;
    const own = this.#open.get(key) ?? new Set();
    const all = [...this.#open.values()].reduce((sum, { size }) => sum + size, 0);
    if (own.size >= MOST_OF_ONE || all >= MOST_STREAMS) {
      throw new SealpostError('too-many-requests', 'too many pages follow events already: close some');
    }
    const close = (): void => {
      if (!own.delete(close)) return;
      if (own.size === 0) this.#open.delete(key);
      session?.streams.delete(close);
      end();
    };
    this.#open.set(key, own.add(close));
    session?.streams.add(close);
    return close;
  }

  closeAll(): void {
    for (const streams of [...this.#open.values()]) for (const close of [...streams]) close();
  }
}

/** Fails with `malformed` or `forbidden`. */
function sourcesIn(follow: unknown, { person }: SignedIn): EventSource[] {
  const names = typeof follow === 'string' ? [...new Set(follow.split(','))] : [];
  if (names.length === 0) throw new SealpostError('malformed', 'query.follow: name what to follow');
  return names.map((name) => {
    const source = EVENTS.find((one) => one.name === name);
    if (source === undefined) throw new SealpostError('malformed', `query.follow: there are no events "${name}"`);
    requireAccess(person, source);
    return source;
  });
}

function begin(reply: FastifyReply): void {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
  });
  // A browser that lost the stream asks again after so many ms.
  raw.write('retry: 2000\n\n');
}

function sender({ raw }: FastifyReply, { name, data }: EventSource, log: Logger): (value: unknown) => void {
  return (value) => {
    if (raw.writableLength > MOST_WAITING || raw.writableEnded || raw.destroyed) return;
    const parsed = data.safeParse(value);
    // JSON has no line breaks of its own, so an event is one line.
    if (parsed.success) raw.write(`event: ${name}\ndata: ${JSON.stringify(parsed.data)}\n\n`);
    else log.error({ event: name, err: parsed.error }, 'an event does not have its form: please report this bug');
  };
}
