import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import Provider from 'oidc-provider';

/** The client at the provider that stands for Sealpost, and its secret. */
export const CLIENT = { id: 'sealpost', secret: 'a secret: of+the client' };
/** For whom tokens are made out unless a test says otherwise. */
export const AUDIENCE = 'urn:sealpost';

type TokenOptions = { audience?: string; scope?: string; seconds?: number };
type Options = {
  /** Lifetime of the tokens that the token endpoint issues, in seconds. */
  seconds?: number;
  tls?: { certificate: string; key: string };
};

/**
 * A real OpenID provider (npm's oidc-provider) on loopback. What an application would get in a browser, `tokenFor` gets from
 * the provider directly: a JWT as RFC 9068 describes it, with the user in `preferred_username`.
 */
export class OpenIdProvider implements AsyncDisposable {
  readonly issuer: string;
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** Answers in the provider's place, where it returns true. */
  intercept: ((path: string, ...args: Parameters<RequestListener>) => boolean) | undefined;
  readonly #server: Server;
  readonly #provider: Provider;
  readonly #privateKey: CryptoKey;
  readonly #port: number;

  private constructor(server: Server, issuer: string, { provider, key }: { provider: Provider; key: CryptoKey }) {
    this.#server = server;
    this.issuer = issuer;
    this.#port = (server.address() as AddressInfo).port;
    this.#provider = provider;
    this.#privateKey = key;
    const handle = provider.callback();
    server.on('request', (request, response) => {
      const path = request.url ?? '';
      this.asked.push(path);
      if (this.intercept?.(path, request, response) !== true) handle(request, response);
    });
  }

  static async start({ seconds = 3600, tls }: Options = {}): Promise<OpenIdProvider> {
    const server = tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key });
    // Dovecot keeps its connection, and asks once more on it when it is just being closed.
    server.keepAliveTimeout = 120_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = `http${tls === undefined ? '' : 's'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const provider = new Provider(issuer, await configuration(privateKey, seconds));
    return new OpenIdProvider(server, issuer, { provider, key: privateKey });
  }

  get tokenEndpoint(): string {
    return `${this.issuer}/token`;
  }

  /** An access token of a user. */
  async tokenFor(
    user: string,
    { audience = AUDIENCE, scope = 'smtp', seconds = 600 }: TokenOptions = {},
  ): Promise<string> {
    const client = await this.#provider.Client.find(CLIENT.id);
    const info = { scope, audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
    const resourceServer = new this.#provider.ResourceServer(audience, info);
    const token = new this.#provider.AccessToken({
      accountId: user,
      client,
      resourceServer,
      scope,
      expiresIn: seconds,
    });
    return token.save();
  }

  /** A refresh token of a user for the client. */
  async refreshTokenFor(user: string): Promise<string> {
    const client = await this.#provider.Client.find(CLIENT.id);
    const grant = new this.#provider.Grant({ accountId: user, clientId: CLIENT.id });
    grant.addResourceScope(AUDIENCE, 'smtp');
    const grantId = await grant.save();
    const fields = { accountId: user, client, grantId, scope: 'smtp offline_access', resource: AUDIENCE };
    return new this.#provider.RefreshToken({ ...fields, gty: 'authorization_code' }).save();
  }

  /** What nobody could get from the provider: any claims, signed with its key. */
  sign(claims: Record<string, unknown>, header: Partial<JWTHeaderParameters> = {}): Promise<string> {
    const all = { iss: this.issuer, aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 600, ...claims };
    return new SignJWT(all).setProtectedHeader({ alg: 'RS256', kid: 'first', ...header }).sign(this.#privateKey);
  }

  /** The claims of a token, as the provider itself says (RFC 7662); undefined where it does not know the token. */
  async introspect(token: string): Promise<Record<string, unknown> | undefined> {
    const authorization = `Basic ${Buffer.from(`${CLIENT.id}:${encodeURIComponent(CLIENT.secret)}`).toString('base64')}`;
    const body = new URLSearchParams({ token });
    const answer = await fetch(`${this.issuer}/token/introspection`, {
      method: 'POST',
      headers: { authorization },
      body,
    });
    const said = (await answer.json()) as Record<string, unknown>;
    return said['active'] === true ? said : undefined;
  }

  /** Nobody answers at its port any more. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async resume(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function configuration(privateKey: CryptoKey, seconds: number): Promise<object> {
  return {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'first', alg: 'RS256', use: 'sig' }] },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials', 'refresh_token', 'authorization_code'],
        redirect_uris: ['https://client.test/'],
        scope: 'smtp offline_access',
      },
    ],
    scopes: ['smtp', 'offline_access'],
    rotateRefreshToken: true,
    ttl: { AccessToken: seconds, ClientCredentials: seconds, RefreshToken: 86_400, Grant: 86_400 },
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    extraTokenClaims: (_: unknown, { accountId, clientId }: { accountId?: string; clientId: string }) => ({
      preferred_username: accountId ?? clientId,
    }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: (_: unknown, audience: string) => ({
          scope: 'smtp',
          audience,
          accessTokenTTL: seconds,
          // The provider itself is asked for tokens of this kind (RFC 7662).
          accessTokenFormat: 'opaque',
        }),
      },
    },
  };
}
