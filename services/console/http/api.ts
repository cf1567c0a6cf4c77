import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { SealpostError } from '#shared/errors.ts';
import { ROUTES } from '../api/areas.ts';
import type { Route } from '../api/route.ts';
import { askedBy, type HttpDeps } from './deps.ts';
import { admit, type SignedIn } from './guard.ts';
import { describeRoute } from './openapi.ts';

/** Serves the declared routes: admit → parse → handle → parse → send. */

declare module 'fastify' {
  interface FastifyRequest {
    /** Set once the request was admitted. */
    signedIn: SignedIn | undefined;
  }
}

export function serveRoutes(app: FastifyInstance, deps: HttpDeps): void {
  app.decorateRequest('signedIn', undefined);
  for (const route of ROUTES) serveRoute(app, route, deps);
}

function serveRoute(app: FastifyInstance, route: Route, deps: HttpDeps): void {
  app.route({
    method: route.method,
    url: route.path,
    ...(route.bodyLimit !== undefined && { bodyLimit: route.bodyLimit }),
    ...(route.perMinute !== undefined && { config: { rateLimit: { max: route.perMinute, timeWindow: 60_000 } } }),
    schema: describeRoute(route),
    // After the limits of requests, and before the body is read.
    preParsing: async (request) => {
      request.signedIn = admit(request, route, deps);
    },
    handler: async (request, reply) => {
      const { person } = request.signedIn ?? admit(request, route, deps);
      const asked = askedBy(person, deps, goneSignal(reply));
      const answer = await route.handler({ ...asked, ...parseRequest(request, route) });
      return route.reply.parse(answer);
    },
  });
}

function parseRequest({ params, query, body }: FastifyRequest, route: Route) {
  return {
    params: parsePart('path', route.params, params),
    query: parsePart('query', route.query, query),
    body: parsePart('body', route.body, body),
  };
}

/** Fails with `malformed`, which names every mistake. */
export function parsePart(part: string, schema: z.ZodType | undefined, value: unknown): unknown {
  const parsed = schema?.safeParse(value);
  if (parsed?.success !== false) return parsed?.data;
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${[part, ...path].map(String).join('.')}: ${message}`,
  );
  throw new SealpostError('malformed', problems.join('; '));
}

/** Aborted when the client goes before it has its answer. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
