import { readFile } from 'node:fs/promises';
import { request as requestClear } from 'node:http';
import { request as requestTls } from 'node:https';
import * as openid from 'openid-client';
import type { ConsoleConfig } from '#cluster/config/schema/schema.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { answerTo, bodyOf } from '#shared/web/answer.ts';

/**
 * An OpenID provider as the console's people sign in at it: authorization code with PKCE (OpenID Connect Core §3.1, RFC 7636).
 * What comes back is believed only after its signature, issuer, audience, time and nonce were checked.
 */

export type OpenIdConfig = NonNullable<ConsoleConfig['openid']>;

/** What is kept between the way there and the way back. */
export type Checks = { state: string; nonce: string; verifier: string };

const SCOPES = 'openid email';
const PATIENCE_S = 10;
const MOST_BYTES = 256 * 1024;
/** What the provider says of itself counts for so long. */
const FRESH_MS = 3_600_000;

export class OpenIdProvider {
  readonly #config: OpenIdConfig;
  #found: { at: number; client: Promise<openid.Configuration> } | undefined;

  constructor(config: OpenIdConfig) {
    this.#config = config;
  }

  /** Where a browser goes. Fails with `openid-failed` where the provider does not answer. */
  async begin(redirect: string): Promise<{ url: string; checks: Checks }> {
    const client = await this.#client();
    const checks = {
      state: openid.randomState(),
      nonce: openid.randomNonce(),
      verifier: openid.randomPKCECodeVerifier(),
    };
    const url = openid.buildAuthorizationUrl(client, {
      ...{ redirect_uri: redirect, scope: SCOPES, state: checks.state, nonce: checks.nonce },
      ...{ code_challenge: await openid.calculatePKCECodeChallenge(checks.verifier), code_challenge_method: 'S256' },
    });
    return { url: url.href, checks };
  }

  /** The user who came back to `address`. Fails with `openid-failed`. */
  async end(address: URL, { state, nonce, verifier }: Checks): Promise<string> {
    const client = await this.#client();
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
    try {
      const tokens = await openid.authorizationCodeGrant(client, address, checks);
      const claims: Record<string, unknown> = { ...tokens.claims() };
      if (Object.hasOwn(claims, this.#config['user-claim'])) return this.#userIn(claims);
      // Many put no more than the subject into the token (OpenID Connect Core §5.4).
      const info = await openid.fetchUserInfo(client, tokens.access_token, String(claims['sub']));
      return this.#userIn({ ...claims, ...info });
    } catch (error) {
      if (error instanceof SealpostError) throw error;
      throw failed(`the sign-in at ${this.#config.issuer} did not succeed: ${errorText(error)}`);
    }
  }

  /** A claim that a user can change says nothing; an address, only when the provider has looked (OpenID Connect Core §5.1). */
  #userIn(claims: Record<string, unknown>): string {
    const { issuer, 'user-claim': name } = this.#config;
    const user = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (typeof user !== 'string' || user === '') throw failed(`the token of ${issuer} has no claim ${name}`);
    if (name === 'email' && claims['email_verified'] !== true) {
      throw failed(`${issuer} does not say that it has verified the address: name another claim in user-claim`);
    }
    return user;
  }

  #client(): Promise<openid.Configuration> {
    const now = performance.now();
    if (this.#found === undefined || now - this.#found.at > FRESH_MS) {
      const client = this.#discover();
      this.#found = { at: now, client };
      // Asked again by the next one.
      client.catch(() => {
        this.#found = undefined;
      });
    }
    return this.#found.client;
  }

  async #discover(): Promise<openid.Configuration> {
    const { issuer, 'client-id': id, 'client-secret': secret, ca } = this.#config;
    const url = new URL(issuer);
    const authentication = secret === undefined ? openid.None() : openid.ClientSecretBasic(secret.reveal());
    // The configuration takes `http:` for this machine alone.
    const execute = url.protocol === 'http:' ? [openid.allowInsecureRequests] : [];
    try {
      const authorities =
        ca === undefined
          ? undefined
          : await readFile(ca).catch((error: unknown) => Promise.reject(new Error(unreadable(ca, error))));
      const options = { execute, timeout: PATIENCE_S, [openid.customFetch]: fetchWith(authorities) };
      return await openid.discovery(url, id, undefined, authentication, options);
    } catch (error) {
      throw failed(`${issuer} does not say how to sign in: ${errorText(error)}`);
    }
  }
}

const failed = (text: string): SealpostError => new SealpostError('openid-failed', text);

/** As `fetch`, with authorities of its own; answers have a size, and no redirect is followed. */
function fetchWith(ca: Buffer | undefined): openid.CustomFetch {
  return async (address, { method, headers, body, signal = AbortSignal.timeout(PATIENCE_S * 1000) }) => {
    const url = new URL(address);
    const text = body === undefined || body === null ? undefined : String(body);
    const options = {
      ...{ method, signal, agent: false },
      headers: { ...headers, ...(text !== undefined && { 'content-length': Buffer.byteLength(text) }) },
      ...(ca !== undefined && { ca, allowPartialTrustChain: true }),
    } as const;
    const asked = url.protocol === 'https:' ? requestTls(url, options) : requestClear(url, options);
    const answer = await answerTo(asked, signal, text);
    const bytes = await bodyOf(answer, MOST_BYTES);
    const fields = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
    return new Response(bytes.length === 0 ? null : new Uint8Array(bytes), {
      status: answer.statusCode ?? 500,
      headers: fields,
    });
  };
}
