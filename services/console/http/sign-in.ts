import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { readMachine } from '#cluster/machine.ts';
import { VERSION } from '#cluster/version.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import { printable } from '#shared/text.ts';
import type { Person } from '../api/access.ts';
import { SessionReply, SignIn, SignInWays } from '../schemas/session.ts';
import { parsePart } from './api.ts';
import type { HttpDeps } from './deps.ts';
import { COOKIE, COOKIE_OPTIONS, requireOwnPage, signedIn } from './guard.ts';
import { jsonSchema } from './openapi.ts';
import { type Proof, personOf, tokenProof, userProof } from './people.ts';

/**
 * How people sign in and out: the only routes that everybody may ask.
 *
 * A password is judged by policy, with the locks and delays of log-ins over SMTP; one that an app has (`sealpost users
 * app-password`) opens no console. What was wrong is for the log: the answer is the same for a wrong password and for a user
 * without an entry.
 */

/** From one address in a minute; each costs a hash of a password at most. */
const SIGN_INS = { max: 60, timeWindow: 60_000 };
const LONGEST_DELAY_MS = 30_000;

export function serveSignIn(app: FastifyInstance, deps: HttpDeps): void {
  const tags = ['session'];
  app.route({
    method: 'GET',
    url: '/api/sign-in',
    schema: { summary: 'The ways to sign in', tags, security: [], response: { 200: jsonSchema(SignInWays, 'output') } },
    handler: async (): Promise<SignInWays> => {
      const hasProvider = deps.settings.current.console?.openid !== undefined;
      return { ways: ['password', 'token', 'link', ...(hasProvider ? (['openid'] as const) : [])] };
    },
  });
  app.route({
    method: 'POST',
    url: '/api/sign-in',
    config: { rateLimit: SIGN_INS },
    schema: {
      ...{ summary: 'Sign a browser in', tags, security: [], body: jsonSchema(SignIn, 'input') },
      response: { 200: jsonSchema(SessionReply, 'output') },
    },
    preParsing: async (request) => requireOwnPage(request, deps.origin()),
    handler: refusalsLogged(app, deps),
  });
  app.route({
    method: 'POST',
    url: '/api/sign-out',
    schema: { summary: 'End the session', tags, response: { 200: { type: 'object' } } },
    preParsing: async (request) => requireOwnPage(request, deps.origin()),
    handler: async (request, reply) => {
      const { session } = signedIn(request, deps);
      if (session !== undefined) deps.sessions.end(session);
      reply.clearCookie(COOKIE, COOKIE_OPTIONS);
      return {};
    },
  });
  app.route({
    method: 'GET',
    url: '/api/session',
    schema: { summary: 'Who is signed in', tags, response: { 200: jsonSchema(SessionReply, 'output') } },
    handler: async (request) => sessionReply(signedIn(request, deps).person, deps),
  });
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<SessionReply>;

/** The log has why nobody was signed in; strangers can cause that at any rate. */
function refusalsLogged(app: FastifyInstance, deps: HttpDeps): Handler {
  const refusals = new LimitedLog();
  app.addHook('onClose', async () => refusals.close());
  return async (request, reply) => {
    const given = parsePart('body', SignIn, request.body) as z.output<typeof SignIn>;
    try {
      return await signIn(given, request, reply, deps);
    } catch (error) {
      const fields = { by: wayOf(given), peer: request.ip, error: errorText(error) };
      refusals.say(request.ip, (repeated) => deps.log.warn({ ...fields, ...repeated }, 'not signed in to the console'));
      throw error;
    }
  };
}

async function signIn(
  given: SignIn,
  request: FastifyRequest,
  reply: FastifyReply,
  deps: HttpDeps,
): Promise<SessionReply> {
  const { sessions, settings, log } = deps;
  const proof = await prove(given, request, deps);
  const person = proof && personOf(proof, settings.current);
  if (proof === undefined || person === undefined) {
    throw new SealpostError('sign-in-failed', FAILED[wayOf(given)]);
  }
  // Whoever was signed in with this browser before is not any more.
  const before = sessions.use(request.cookies[COOKIE] ?? '');
  if (before !== undefined) sessions.end(before.session);
  reply.setCookie(COOKIE, sessions.begin(proof), COOKIE_OPTIONS);
  const { name, role } = person;
  log.info({ person: name, role, by: proof.by, peer: request.ip }, 'signed in to the console');
  return sessionReply(person, deps);
}

const wayOf = (given: SignIn): keyof typeof FAILED =>
  'link' in given ? 'link' : 'token' in given ? 'token' : 'password';

const FAILED = {
  password: 'the password is not right, or the user has no entry in console.people',
  token: 'this token is not one of console.tokens',
  link: 'this link was used before, or is older than ten minutes: make another one with "sealpost console link"',
};

async function prove(given: SignIn, request: FastifyRequest, deps: HttpDeps): Promise<Proof | undefined> {
  if ('link' in given) return deps.links.redeem(given.link);
  if ('token' in given) return tokenProof(given.token, deps.settings.current);
  return provePassword(given, request, deps);
}

type Password = Extract<SignIn, { password: string }>;

/** Fails with `unavailable` where the password cannot be looked at now. */
async function provePassword(
  { user, password }: Password,
  request: FastifyRequest,
  { policy, settings, log }: HttpDeps,
) {
  const peer = parseIp(request.ip)?.toString() ?? request.ip;
  const client = { address: peer, name: null, helo: '' };
  const facts = {
    ...({ session: newId(), listener: 'console', kind: 'submission', scope: 'external', client } as const),
    // Behind the gateway of a container may be anybody: one who guesses must not lock all others out.
    gateway: readMachine().container.includes(peer),
  };
  const question = { facts, mechanism: 'PLAIN', user } as const;
  const verdict = await policy['user-authenticate'](question, { bytes: Buffer.from(password) });
  if (verdict.action === 'accept') {
    const proof =
      verdict.appPassword === undefined ? userProof('password', [verdict.user, user], settings.current) : undefined;
    const fields = { user: printable(verdict.user), appPassword: verdict.appPassword, peer };
    if (proof === undefined)
      log.warn(fields, 'not signed in to the console: not in console.people, or by an app password');
    return proof;
  }
  await delay(Math.min(verdict.delayMs ?? 0, LONGEST_DELAY_MS));
  if (verdict.action === 'reject') return undefined;
  throw new SealpostError('unavailable', `the password was not looked at: ${verdict.reply.text}`);
}

function sessionReply({ name, role, domains }: Person, { settings }: HttpDeps): SessionReply {
  const { node } = settings.current;
  return { person: name, role, ...(domains && { domains: [...domains] }), node: node.name, version: VERSION };
}
