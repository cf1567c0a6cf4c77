/** The part of oidc-provider that the tests use; the package comes without types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

  type Client = { clientId: string };
  type Stored = { save(): Promise<string> };

  export default class Provider {
    constructor(issuer: string, configuration: object);
    callback(): RequestListener;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: object,
      options: object,
    ): Promise<void>;
    on(event: string, listener: (...args: unknown[]) => void): this;
    readonly Client: { find(id: string): Promise<Client | undefined> };
    readonly ResourceServer: new (
      identifier: string,
      info: object,
    ) => object;
    readonly AccessToken: new (
      fields: object,
    ) => Stored;
    readonly RefreshToken: new (
      fields: object,
    ) => Stored;
    readonly Grant: new (
      fields: object,
    ) => Stored & { addResourceScope(resource: string, scope: string): void; addOIDCScope(scope: string): void };
  }
}
