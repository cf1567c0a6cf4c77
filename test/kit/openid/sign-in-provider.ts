import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

/**
 * A real OpenID provider (npm's oidc-provider) on loopback, where people sign in: whoever comes is signed in as `user`, as if
 * they had typed a password there. Clients must use PKCE.
 */

export const WEB_CLIENT = { id: 'sealpost-console', secret: 'a secret: of+the console' };

/** Who is at the browser; `verified`: whether the provider has looked at the address. */
export type Visitor = { user: string; email?: string; verified?: boolean };

export class SignInProvider implements AsyncDisposable {
  readonly issuer: string;
  visitor: Visitor = { user: 'nobody' };
  readonly #server: Server;

  private constructor(server: Server, issuer: string) {
    this.#server = server;
    this.issuer = issuer;
  }

  /** `redirect`: where it sends browsers back to. */
  static async start(redirect: string): Promise<SignInProvider> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const started = new SignInProvider(server, issuer);
    const provider: Provider = new Provider(issuer, {
      clients: [
        {
          ...{ client_id: WEB_CLIENT.id, client_secret: WEB_CLIENT.secret, redirect_uris: [redirect] },
          grant_types: ['authorization_code'],
        },
      ],
      pkce: { required: () => true },
      claims: { email: ['email', 'email_verified'] },
      cookies: { keys: ['a key of the test'] },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => started.#claims(accountId) }),
      // Nobody is asked whether the console may know them.
      loadExistingGrant: async ({
        oidc,
      }: {
        oidc: { client: { clientId: string }; session: { accountId: string } };
      }) => {
        const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope('openid email');
        await grant.save();
        return grant;
      },
    });
    const handle = provider.callback();
    server.on('request', (request, response) => {
      if (!request.url?.startsWith('/interaction/')) return handle(request, response);
      const login = { accountId: started.visitor.user };
      void provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
    });
    return started;
  }

  #claims(sub: string): Record<string, unknown> {
    const { email, verified } = this.visitor;
    return { sub, ...(email !== undefined && { email }), ...(verified !== undefined && { email_verified: verified }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
