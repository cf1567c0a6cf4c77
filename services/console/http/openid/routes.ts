import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { printable } from '#shared/text.ts';
import type { Desk } from '../desk.ts';
import { COOKIE, COOKIE_OPTIONS } from '../guard.ts';
import { digestOf, personOf, userProof } from '../people.ts';
import { type Checks, type OpenIdConfig, OpenIdProvider } from './provider.ts';

/**
 * The way to the OpenID provider of `console.openid` and back. The browser that comes back must be the one that went: it has a
 * cookie, which opens what was kept for it, once.
 */

const WAY_COOKIE = '__Host-sealpost-way';
const WAY_MS = 600_000;
const MOST_WAYS = 500;
export const CALLBACK = '/api/sign-in/openid/callback';
const LIMIT = { max: 20, timeWindow: 60_000 };
/** The browser comes back from another site, to which a strict cookie is not shown. */
const WAY_OPTIONS = { ...COOKIE_OPTIONS, sameSite: 'lax', maxAge: WAY_MS / 1000 } as const;

export function serveOpenId(app: FastifyInstance, desk: Desk): void {
  const ways = new BoundedMap<string, { checks: Checks; until: number }>(MOST_WAYS);
  const provider = keptProvider(desk);
  const tags = ['session'];
  app.route({
    method: 'GET',
    url: '/api/sign-in/openid',
    config: { rateLimit: LIMIT },
    schema: { summary: 'Go to the OpenID provider to sign in', tags, security: [] },
    handler: async (_request, reply) => {
      const { url, checks } = await provider().begin(`${desk.origin()}${CALLBACK}`);
      const id = randomBytes(32).toString('base64url');
      ways.set(keyOf(id), { checks, until: performance.now() + WAY_MS });
      return reply.setCookie(WAY_COOKIE, id, WAY_OPTIONS).redirect(url);
    },
  });
  app.route({
    method: 'GET',
    url: CALLBACK,
    config: { rateLimit: LIMIT },
    schema: { summary: 'Come back from the OpenID provider', tags, security: [] },
    handler: async (request, reply) => {
      const id = request.cookies[WAY_COOKIE] ?? '';
      const way = ways.get(keyOf(id));
      ways.delete(keyOf(id));
      reply.clearCookie(WAY_COOKIE, WAY_OPTIONS);
      if (way === undefined || performance.now() > way.until)
        return refuse(reply, desk, 'it took too long, or began elsewhere');
      try {
        const user = await provider().end(new URL(request.url, desk.origin()), way.checks);
        return enter(reply, desk, { user, peer: request.ip });
      } catch (error) {
        if (!(error instanceof SealpostError)) throw error;
        return refuse(reply, desk, errorText(error));
      }
    },
  });
}

const keyOf = (id: string): string => digestOf(id).toString('base64url');

/** Fails with `not-configured`. */
function keptProvider({ settings }: Desk): () => OpenIdProvider {
  let kept: { config: OpenIdConfig; provider: OpenIdProvider } | undefined;
  return () => {
    const config = settings.current.console?.openid;
    if (config === undefined)
      throw new SealpostError('not-configured', 'there is no OpenID provider: see console.openid');
    if (kept?.config !== config) kept = { config, provider: new OpenIdProvider(config) };
    return kept.provider;
  };
}

function enter(reply: FastifyReply, desk: Desk, { user, peer }: { user: string; peer: string }): FastifyReply {
  const proof = userProof('openid', [user], desk.settings.current);
  const person = proof && personOf(proof, desk.settings.current);
  if (proof === undefined || person === undefined)
    return refuse(reply, desk, `${printable(user)} is not in console.people`);
  reply.setCookie(COOKIE, desk.sessions.begin(proof), COOKIE_OPTIONS);
  desk.log.info({ person: person.name, role: person.role, by: proof.by, peer }, 'signed in to the console');
  return reply.redirect('/');
}

/** The reason is for the log: the page says that it did not succeed, and where to look. */
function refuse(reply: FastifyReply, { log }: Desk, error: string): FastifyReply {
  log.warn({ error }, 'not signed in to the console by OpenID');
  return reply.redirect('/sign-in?refused=openid');
}
