import type { FastifyRequest } from 'fastify';
import { SealpostError } from '#shared/errors.ts';
import { Bounds, mayActAs, type Person } from '../api/access.ts';
import type { EventSource, Route } from '../api/route.ts';
import type { HttpDeps } from './deps.ts';
import { personOf, tokenProof } from './people.ts';
import type { Session } from './sessions.ts';

/**
 * Who asks, and whether they may. Each request is judged before its body is read.
 *
 * - A program shows a bearer token (RFC 6750 §2.1); no browser sends one by itself.
 * - A browser shows the cookie of a session. What it asks to change must come from a page of ours: another site can neither
 *   send the header field `x-sealpost` nor JSON without asking first (CORS), which is never allowed, and browsers say where a
 *   request comes from (Sec-Fetch-Site, else Origin).
 */

/** RFC 6265bis §4.1.3.2: with this prefix no other host and no clear connection can set it. */
export const COOKIE = '__Host-sealpost';
export const COOKIE_OPTIONS = { path: '/', secure: true, httpOnly: true, sameSite: 'strict' } as const;

/** `session`: of a browser. */
export type SignedIn = { person: Person; session?: Session };

/** Fails with `not-signed-in`. */
export function signedIn(request: FastifyRequest, { settings, sessions }: HttpDeps): SignedIn {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const proof = tokenProof(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '', settings.current);
    const person = proof && personOf(proof, settings.current);
    if (person !== undefined) return { person };
    throw new SealpostError('not-signed-in', 'this token is not one of console.tokens');
  }
  const id = request.cookies[COOKIE];
  const found = id === undefined ? undefined : sessions.use(id);
  if (found !== undefined) return found;
  throw new SealpostError('not-signed-in', 'nobody is signed in here, or the session has ended: sign in');
}

/** Fails with `forbidden` unless a request of a browser that changes something comes from our own page. */
export function requireOwnPage(request: FastifyRequest, origin: string): void {
  const { headers } = request;
  const site = headers['sec-fetch-site'];
  const isOurs =
    site === undefined
      ? headers.origin === origin || headers.origin === `https://${headers.host}`
      : site === 'same-origin';
  if (isOurs && headers['x-sealpost'] === '1') return;
  throw new SealpostError(
    'forbidden',
    'only the page of the console changes something in a session: programs use a token of console.tokens',
  );
}

type Guarded = Pick<Route | EventSource, 'access' | 'domains'>;

/** Fails with `forbidden` where the person may not ask this. */
export function requireAccess(person: Person, { access, domains = 'refused' }: Guarded): void {
  if (!mayActAs(person, access)) {
    throw new SealpostError('forbidden', 'this is for operators: a viewer sees, and changes nothing');
  }
  if (domains === 'refused' && new Bounds(person).domains !== undefined) {
    throw new SealpostError('forbidden', 'this is for administrators of all domains');
  }
}

/** Who asks for a route. Fails with `not-signed-in` or `forbidden`. */
export function admit(request: FastifyRequest, route: Guarded, deps: HttpDeps): SignedIn {
  const asking = signedIn(request, deps);
  if (asking.session !== undefined && request.method !== 'GET') requireOwnPage(request, deps.origin());
  requireAccess(asking.person, route);
  return asking;
}
