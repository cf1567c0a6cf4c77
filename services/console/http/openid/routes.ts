import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { printable } from '#shared/text.ts';
import type { HttpDeps } from '../deps.ts';
import { COOKIE, COOKIE_OPTIONS } from '../guard.ts';
import { digestOf, personOf, userProof } from '../people.ts';
import { type Checks, type OpenIdConfig, OpenIdProvider } from './provider.ts';

/**
 * The way to the OpenID provider of `console.openid` and back. The browser that comes back must be the one that went: it has a
 * cookie, which opens what was kept for it, once.
 */

const PENDING_COOKIE = '__Host-sealpost-openid';
const PENDING_MS = 600_000;
const MOST_PENDING = 500;
export const CALLBACK = '/api/sign-in/openid/callback';
const LIMIT = { max: 20, timeWindow: 60_000 };
/** The browser comes back from another site, to which a strict cookie is not shown. */
const PENDING_OPTIONS = { ...COOKIE_OPTIONS, sameSite: 'lax', maxAge: PENDING_MS / 1000 } as const;

export function serveOpenId(app: FastifyInstance, deps: HttpDeps): void {
  const pending = new BoundedMap<string, { checks: Checks; until: number }>(MOST_PENDING);
  const provider = keptProvider(deps);
  const tags = ['session'];
  app.route({
    method: 'GET',
    url: '/api/sign-in/openid',
    config: { rateLimit: LIMIT },
    schema: { summary: 'Go to the OpenID provider to sign in', tags, security: [] },
    handler: (_request, reply) =>
      orRefuse(reply, deps, async () => {
        const { url, checks } = await provider().begin(`${deps.origin()}${CALLBACK}`);
        const id = randomBytes(32).toString('base64url');
        pending.set(keyOf(id), { checks, until: performance.now() + PENDING_MS });
        return reply.setCookie(PENDING_COOKIE, id, PENDING_OPTIONS).redirect(url);
      }),
  });
  app.route({
    method: 'GET',
    url: CALLBACK,
    config: { rateLimit: LIMIT },
    schema: { summary: 'Come back from the OpenID provider', tags, security: [] },
    handler: async (request, reply) => {
      const id = request.cookies[PENDING_COOKIE] ?? '';
      const begun = pending.get(keyOf(id));
      pending.delete(keyOf(id));
      reply.clearCookie(PENDING_COOKIE, PENDING_OPTIONS);
      if (begun === undefined || performance.now() > begun.until)
        return refuse(reply, deps, 'it took too long, or began elsewhere');
      return orRefuse(reply, deps, async () => {
        const user = await provider().end(new URL(request.url, deps.origin()), begun.checks);
        return enter(reply, deps, { user, peer: request.ip });
      });
    },
  });
}

const keyOf = (id: string): string => digestOf(id).toString('base64url');

/** Fails with `not-configured`. */
function keptProvider({ settings }: HttpDeps): () => OpenIdProvider {
  let kept: { config: OpenIdConfig; provider: OpenIdProvider } | undefined;
  return () => {
    const config = settings.current.console?.openid;
    if (config === undefined)
      throw new SealpostError('not-configured', 'there is no OpenID provider: see console.openid');
    if (kept?.config !== config) kept = { config, provider: new OpenIdProvider(config) };
    return kept.provider;
  };
}

function enter(reply: FastifyReply, deps: HttpDeps, { user, peer }: { user: string; peer: string }): FastifyReply {
  const proof = userProof('openid', [user], deps.settings.current);
  const person = proof && personOf(proof, deps.settings.current);
  if (proof === undefined || person === undefined)
    return refuse(reply, deps, `${printable(user)} is not in console.people`);
  reply.setCookie(COOKIE, deps.sessions.begin(proof), COOKIE_OPTIONS);
  deps.log.info({ person: person.name, role: person.role, by: proof.by, peer }, 'signed in to the console');
  return reply.redirect('/');
}

/** A browser is under way: what fails is told by the page, and not as JSON. */
async function orRefuse(reply: FastifyReply, deps: HttpDeps, go: () => Promise<FastifyReply>): Promise<FastifyReply> {
  try {
    return await go();
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return refuse(reply, deps, errorText(error));
  }
}

/** The reason is for the log: the page says that it did not succeed, and where to look. */
function refuse(reply: FastifyReply, { log }: HttpDeps, error: string): FastifyReply {
  log.warn({ error }, 'not signed in to the console by OpenID');
  return reply.redirect('/sign-in?refused=openid');
}
