import { readFile } from 'node:fs/promises';
import {
  createLocalJWKSet,
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose';
import { z } from 'zod';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { requestJson } from '#shared/web/json-request.ts';
import { isProtected } from '#shared/web/protected-url.ts';

/**
 * The public keys of an OpenID provider, found through its metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
 *
 * - none: the first token waits until they are fetched.
 * - fresh, for `FRESH_MS`: they are used.
 * - stale: they are used, and fetched again meanwhile. So a provider that is away stops nobody, for `KEPT_MS`; a key that
 *   it withdrew counts that long at most where somebody keeps us from it. Then: none.
 *
 * A token whose key is not among them makes them be fetched again, because providers change keys. After that there is a
 * pause, as after each failure, whatever tokens come: nobody can make us flood a provider. What cannot be decided meanwhile
 * is temporary.
 *
 * A token need not name its key (RFC 7515 §4.1.4). Then each key that fits its algorithm is tried, and one that none of them
 * has signed may be signed with a key that is not among them yet.
 */
const FRESH_MS = 600_000;
const KEPT_MS = 86_400_000;
const PAUSE_AFTER_UNKNOWN_MS = 30_000;
const PAUSE_AFTER_FAILURE_MS = 5000;
/** For metadata and keys together: a caller of policy waits 10 s. */
const FETCH_MS = 5000;

/** Whether a token is right cannot be said now. */
export class Undecided extends Error {}

type Keys = { find: ReturnType<typeof createLocalJWKSet>; fetchedAt: number };
type Source = { issuer: string; ca?: string | undefined };

export class ProviderKeys {
  readonly #source: Source;
  readonly #log: Logger;
  #keys: Keys | undefined;
  #fetching: Promise<Keys> | undefined;
  /** In ms of `performance.now()`: no fetch before, and none because of an unknown key. */
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #unknownPausedUntil = Number.NEGATIVE_INFINITY;
  /** Why the last fetch failed. */
  #trouble: string | undefined;

  constructor(source: Source, log: Logger) {
    this.#source = source;
    this.#log = log;
  }

  /** The claims of a token. Rejects with `Undecided`, or with what is wrong with the token: an error of jose. */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    const keys = await this.#current();
    try {
      return await verifyWith(keys, token, options);
    } catch (error) {
      if (!isKeyUnknown(error, token)) throw error;
    }
    return verifyWith(await this.#fetchAfterUnknown(), token, options);
  }

  #current(): Keys | Promise<Keys> {
    const keys = this.#keys;
    const age = performance.now() - (keys?.fetchedAt ?? Number.NEGATIVE_INFINITY);
    if (keys === undefined || age > KEPT_MS) return this.#fetch();
    // What goes wrong is logged there.
    if (age > FRESH_MS) this.#fetch().catch(() => undefined);
    return keys;
  }

  #fetchAfterUnknown(): Promise<Keys> {
    if (this.#fetching === undefined) {
      if (performance.now() < this.#unknownPausedUntil) {
        throw this.#undecided('its keys were fetched a moment ago, and the one of the token was not there');
      }
      this.#unknownPausedUntil = performance.now() + PAUSE_AFTER_UNKNOWN_MS;
    }
    return this.#fetch();
  }

  /** One fetch at a time, however many tokens wait for it. */
  #fetch(): Promise<Keys> {
    if (this.#fetching === undefined && this.#trouble !== undefined && performance.now() < this.#pausedUntil) {
      return Promise.reject(this.#undecided(this.#trouble));
    }
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchNow(): Promise<Keys> {
    const { issuer } = this.#source;
    try {
      const find = createLocalJWKSet(await fetchKeys(this.#source));
      this.#keys = { find, fetchedAt: performance.now() };
      if (this.#trouble !== undefined) this.#log.info({ issuer }, 'OpenID provider gives its keys again');
      this.#trouble = undefined;
      return this.#keys;
    } catch (error) {
      this.#pausedUntil = performance.now() + PAUSE_AFTER_FAILURE_MS;
      const reason = errorText(error);
      if (this.#trouble === undefined) {
        const held = this.#keys === undefined ? 'log-ins by token are deferred' : 'those fetched before stay in use';
        this.#log.error({ issuer, error: reason }, `keys of the OpenID provider cannot be fetched: ${held}`);
      }
      this.#trouble = reason;
      throw this.#undecided(reason);
    }
  }

  #undecided(reason: string): Undecided {
    return new Undecided(`provider ${this.#source.issuer}: ${reason}`);
  }
}

async function verifyWith({ find }: Keys, token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, find, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    return verifyWithAny(error, token, options);
  }
}

/** Where one that fits cannot be used, it may have been the right one: rejects with that, which proves nothing of a token. */
async function verifyWithAny(
  keys: errors.JWKSMultipleMatchingKeys,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  let unusable: unknown;
  for await (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) unusable = error;
      else if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw unusable ?? new errors.JWSSignatureVerificationFailed();
}

function isKeyUnknown(error: unknown, token: string): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true;
  const isOtherKey = error instanceof errors.JWSSignatureVerificationFailed || !(error instanceof errors.JOSEError);
  return isOtherKey && decodeProtectedHeader(token).kid === undefined;
}

const Metadata = z.object({ issuer: z.string(), jwks_uri: z.string() });
const KeySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });

async function fetchKeys({ issuer, ca: file }: Source): Promise<JSONWebKeySet> {
  const ca = file === undefined ? undefined : await readFile(file);
  const signal = AbortSignal.timeout(FETCH_MS);
  const ask = async (url: URL) => {
    try {
      return await requestJson({ url, ca, signal });
    } catch (error) {
      throw new Error(`${url.href} gave no answer`, { cause: error });
    }
  };
  const keysAt = await findKeys(issuer, ask);
  const { status, value } = await ask(keysAt);
  const keys = KeySet.safeParse(value);
  if (status !== 200) throw new Error(`${keysAt.href} answered with status ${status}`);
  if (!keys.success) throw new Error(`${keysAt.href} answered with something else than a set of keys (RFC 7517 §5)`);
  return keys.data;
}

type Ask = (url: URL) => Promise<{ status: number; value: unknown }>;

/** Where the keys are. The metadata must be of this very issuer (RFC 8414 §3.3). */
async function findKeys(issuer: string, ask: Ask): Promise<URL> {
  const { origin, pathname, href } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const openId = new URL(`${href.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const oauth = new URL(`${origin}/.well-known/oauth-authorization-server${path}`);
  let url = openId;
  let answer = await ask(url);
  if (answer.status === 404) {
    url = oauth;
    answer = await ask(url);
  }
  if (answer.status !== 200) throw new Error(`${url.href} answered with status ${answer.status}`);
  const metadata = Metadata.safeParse(answer.value);
  if (!metadata.success) throw new Error(`${url.href} answered with something else than the metadata of a provider`);
  const { issuer: named, jwks_uri: keys } = metadata.data;
  if (named !== issuer) throw new Error(`the provider calls itself "${printable(named)}": write it so in issuer`);
  const keysAt = URL.canParse(keys) ? new URL(keys) : undefined;
  // From a provider in the network, nothing leads to this machine.
  if (keysAt === undefined || !isProtected(keysAt) || (keysAt.protocol === 'http:' && openId.protocol === 'https:')) {
    throw new Error(`the provider has its keys at "${printable(keys)}", which is not an https URL`);
  }
  return keysAt;
}
