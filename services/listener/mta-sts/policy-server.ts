import type { IncomingMessage } from 'node:http';
import type { SecureContext } from 'node:tls';
import { type EffectivePolicy, effectivePolicy } from '#cluster/config/rules/servers/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { NOT_FOUND, type SmallAnswer, SmallServer } from '#cluster/serving/small-server.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { Logger } from '#shared/log.ts';
import { stsHost } from '#shared/mta-sts/own-policy.ts';

/**
 * Serves the MTA-STS policy file of our domains (RFC 8461 §3.3): `GET /.well-known/mta-sts.txt` at the host
 * `mta-sts.<domain>`, by HTTPS with the certificates of the listeners, or by HTTP to a proxy on this machine. Everything
 * else is 404.
 *
 * States: closed → `apply` with a section `mta-sts` → serving → `apply` without one, or `stop` → closed. Another address,
 * port or kind of TLS is another socket; a new policy is served by the open one.
 */

const PATH = '/.well-known/mta-sts.txt';

type StsConfig = Config & { 'mta-sts': NonNullable<Config['mta-sts']> };

export type PolicyServerDeps = {
  log: Logger;
  /** The certificate for a name that a client asks for (SNI), which every sender gives (§3.3). */
  tls: { contextFor(host: string): SecureContext | undefined };
};

export class PolicyServer {
  readonly #deps: PolicyServerDeps;
  #config: StsConfig | undefined;
  #policy: EffectivePolicy | undefined;
  #server: SmallServer | undefined;

  constructor(deps: PolicyServerDeps) {
    this.#deps = deps;
  }

  /** What is served now, and where; undefined while nothing is. */
  get status(): (Pick<EffectivePolicy, 'id' | 'text' | 'domains'> & { port: number }) | undefined {
    if (this.#server === undefined || this.#policy === undefined) return undefined;
    const { id, text, domains } = this.#policy;
    return { id, text, domains, port: this.#server.port };
  }

  /** Serve what this configuration says. Rejects with `listen-failed`. */
  async apply(config: Config): Promise<void> {
    const next = isServing(config) ? config : undefined;
    const stays = next !== undefined && this.#server !== undefined && placeOf(next) === placeOf(this.#config);
    this.#config = next;
    this.#policy = effectivePolicy(config);
    if (stays) return;
    await this.stop();
    if (next === undefined) return;
    const { log, tls: material } = this.#deps;
    const { address, port, mode, tls } = next['mta-sts'];
    const isTls = tls === 'implicit';
    this.#server = await SmallServer.open({
      ...{ log, address, port },
      what: 'the MTA-STS policy',
      contextFor: isTls ? (host) => material.contextFor(host) : undefined,
      byClient: isTls,
      answer: (request) => this.#answer(request),
    });
    log.info({ address, port: this.#server.port, mode, id: this.#policy?.id }, 'MTA-STS policy served');
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  #answer({ url, headers }: IncomingMessage): SmallAnswer {
    const host = normalizeDomain((headers.host ?? '').replace(/:\d+$/, ''));
    const policy = this.#policy;
    const isAsked = url === PATH && policy?.domains.some((domain) => stsHost(domain) === host) === true;
    return isAsked ? { code: 200, body: policy.text } : NOT_FOUND;
  }
}

const isServing = (config: Config): config is StsConfig => config['mta-sts'] !== undefined;

function placeOf(config: StsConfig | undefined): string {
  const { address, port, tls } = config?.['mta-sts'] ?? {};
  return JSON.stringify([address, port, tls]);
}
