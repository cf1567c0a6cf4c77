import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { RouteOauth } from '#cluster/config/schema/oauth.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { Secret } from '#shared/secret.ts';
import { printable } from '#shared/text.ts';
import { requestJson } from '#shared/web/json-request.ts';
import { Unreachable } from './channel.ts';

/**
 * The access token of a route (RFC 6749), with which it logs in at its smart host. All connections of the route share it.
 *
 * - none: whoever needs it waits while the provider is asked.
 * - good: it is used.
 * - ending: it is used, and the provider is asked for the next one meanwhile. Where that fails until its end: none.
 *
 * The provider is asked one question at a time, and not within `PAUSE_MS` after it gave no token. A token that the smart
 * host refuses makes it be asked too, once in `RENEWAL_PAUSE_MS`: the refusal may be about something else.
 *
 * A provider may give another refresh token with each answer (RFC 6749 §6). It is used from then on, in memory alone, until
 * the provider says that it is void: then that of the configuration is tried again.
 */
const ASK_MS = 10_000;
const PAUSE_MS = 5000;
const RENEWAL_PAUSE_MS = 60_000;
/** A token counts as ending for the last fifth of its life, and for these ms at most. */
const MOST_ENDING_MS = 300_000;
/** Where the provider does not say how long a token lives. */
const USUAL_LIFE_S = 600;
const LONGEST_LIFE_S = 86_400;
/** Grants whose token is kept. */
const MOST_GRANTS = 1000;

/** `endsAt` and `renewAt` in ms of the clock. */
export type AccessToken = { value: Secret; endsAt: number; renewAt: number };

export class AccessTokens {
  readonly #settings: RouteOauth;
  readonly #log: Logger;
  readonly #now: () => number;
  #token: AccessToken | undefined;
  #asking: Promise<AccessToken> | undefined;
  #refreshToken: Secret | undefined;
  #failure: { error: Unreachable; until: number } | undefined;
  #noRenewalBefore = Number.NEGATIVE_INFINITY;

  constructor(settings: RouteOauth, log: Logger, now: () => number = () => performance.now()) {
    this.#settings = settings;
    this.#log = log;
    this.#now = now;
    this.#refreshToken = settings['refresh-token'];
  }

  /** The token to log in with. Rejects with `Unreachable`. */
  async current(): Promise<AccessToken> {
    const token = this.#token;
    if (token === undefined || token.endsAt <= this.#now()) return this.#ask();
    // What goes wrong is logged there.
    if (token.renewAt <= this.#now()) this.#ask().catch(() => undefined);
    return token;
  }

  /** Another token than one that the smart host refused; undefined where there is none. */
  async another(refused: AccessToken): Promise<AccessToken | undefined> {
    if (this.#token !== refused && this.#token !== undefined) return this.#token;
    if (this.#now() < this.#noRenewalBefore) return undefined;
    this.#noRenewalBefore = this.#now() + RENEWAL_PAUSE_MS;
    return this.#ask();
  }

  #ask(): Promise<AccessToken> {
    if (this.#asking === undefined && this.#failure !== undefined && this.#now() < this.#failure.until) {
      return Promise.reject(this.#failure.error);
    }
    this.#asking ??= this.#askNow().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askNow(): Promise<AccessToken> {
    try {
      const { token, refreshToken } = await requestToken(this.#settings, this.#refreshToken);
      const life = Math.min(token.seconds, LONGEST_LIFE_S) * 1000;
      const endsAt = this.#now() + life;
      this.#token = { value: token.value, endsAt, renewAt: endsAt - Math.min(life / 5, MOST_ENDING_MS) };
      this.#refreshToken = refreshToken ?? this.#refreshToken;
      this.#failure = undefined;
      return this.#token;
    } catch (error) {
      if (error instanceof InvalidGrant) this.#refreshToken = this.#settings['refresh-token'];
      const endpoint = this.#settings['token-endpoint'];
      const reason = printable(errorText(error), 300);
      if (this.#token === undefined || this.#token.endsAt <= this.#now()) {
        this.#log.error({ endpoint, error: reason }, 'no access token for a route: its mail waits');
      } else {
        this.#log.warn({ endpoint, error: reason }, 'access token of a route not renewed: it is used to its end');
      }
      const text = `no access token for this route: ${endpoint} ${reason}`;
      const failure = new Unreachable('deferred', reply(454, '4.7.0', text), { local: true });
      this.#failure = { error: failure, until: this.#now() + PAUSE_MS };
      throw failure;
    }
  }
}

/** The tokens of all routes. They outlive destinations, which go when they have nothing to do. */
export class Grants {
  readonly #log: Logger;
  readonly #tokens = new BoundedMap<string, AccessTokens>(MOST_GRANTS);

  constructor(log: Logger) {
    this.#log = log;
  }

  tokens(oauth: RouteOauth): AccessTokens {
    const key = grantKey(oauth);
    const tokens = this.#tokens.get(key) ?? new AccessTokens(oauth, this.#log);
    this.#tokens.set(key, tokens);
    return tokens;
  }
}

/** Tells grants apart, and does not tell their secrets. */
export function grantKey(oauth: RouteOauth): string {
  const revealed = [oauth['client-secret']?.reveal(), oauth['refresh-token']?.reveal()];
  return createHash('sha256')
    .update(JSON.stringify([oauth, revealed]))
    .digest('base64');
}

/** RFC 6749 §5.1. Some providers write the number as a text. A token goes into a SASL message, where ^A would end it. */
const Granted = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]{1,8192}$/),
  token_type: z.string().regex(/^bearer$/i),
  expires_in: z.coerce.number().positive().optional(),
  refresh_token: z.string().min(1).max(8192).optional(),
});

/** The refresh token is void. */
class InvalidGrant extends Error {}

/** RFC 6749 §5.2. */
const Refused = z.object({ error: z.string(), error_description: z.string().optional() });

/** Rejects with an error whose text follows the URL of the provider. */
async function requestToken(settings: RouteOauth, refreshToken: Secret | undefined) {
  const { 'client-id': id, 'client-secret': secret, ca: file, scope } = settings;
  const form = new URLSearchParams(
    refreshToken === undefined
      ? { grant_type: 'client_credentials' }
      : { grant_type: 'refresh_token', refresh_token: refreshToken.reveal() },
  );
  if (scope !== undefined) form.set('scope', scope);
  if (secret === undefined) form.set('client_id', id);
  const headers: Record<string, string> = secret === undefined ? {} : { authorization: basic(id, secret) };
  const ca = file === undefined ? undefined : await readFile(file);
  const url = new URL(settings['token-endpoint']);
  const { status, value } = await requestJson({ url, form, headers, ca, signal: AbortSignal.timeout(ASK_MS) }).catch(
    (error: unknown) => {
      throw new Error('gave no answer', { cause: error });
    },
  );
  if (status !== 200) throw refusal(status, value, [secret, refreshToken]);
  const granted = Granted.safeParse(value);
  if (!granted.success) throw new Error('answered with something else than a bearer token (RFC 6749 §5.1)');
  const { access_token: token, expires_in: seconds = USUAL_LIFE_S, refresh_token: next } = granted.data;
  return {
    token: { value: new Secret(token), seconds },
    refreshToken: refreshToken === undefined || next === undefined ? undefined : new Secret(next),
  };
}

/** RFC 6749 §2.3.1: what every provider must take. Both parts are encoded as in a form. */
function basic(id: string, secret: Secret): string {
  const encode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret.reveal())}`).toString('base64')}`;
}

/** The provider's own words, without a secret that it might repeat. */
function refusal(status: number, value: unknown, secrets: (Secret | undefined)[]): Error {
  const refused = Refused.safeParse(value);
  if (!refused.success) return new Error(`answered ${status}`);
  const { error, error_description: description } = refused.data;
  let text = `answered ${status} ${error}${description === undefined ? '' : ` (${description})`}`;
  for (const secret of secrets) if (secret !== undefined) text = text.replaceAll(secret.reveal(), '…');
  return error === 'invalid_grant' ? new InvalidGrant(text) : new Error(text);
}
