import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { collectDefaultMetrics } from 'prom-client';
import type { Config } from '#cluster/config/schema/schema.ts';
import { NOT_FOUND, type SmallAnswer, SmallServer } from '#cluster/serving/small-server.ts';
import { VERSION } from '#cluster/version.ts';
import type { ServiceName } from '#services/topology.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { gauge, metrics } from '#shared/metrics.ts';
import type { Secret } from '#shared/secret.ts';
import './calls.ts';
import { read, type Watched } from './readings.ts';

/**
 * What a process counts and how its services are, at `GET /metrics` in the text format of Prometheus, for as long as the
 * process lives; `metrics` in the configuration says where, and is followed when it changes. Each process has its own, so
 * that it can be seen also while the bus is away. One that cannot be opened at a change is logged, and tried again until it
 * can; mail is unaffected.
 *
 * The numbers tell of domains and of how much mail there is: off the loopback interface a client needs the token.
 */

type Place = NonNullable<Config['metrics']>;

/** A scrape asks all services: a client that asks again sooner gets the answer of that one. */
const FRESH_MS = 1000;
const AGAIN_MS = 2000;
const MOST_CONNECTIONS = 32;
const NOT_ADMITTED: SmallAnswer = {
  code: 401,
  body: 'this needs the token of metrics.token in the configuration\n',
  fields: { 'www-authenticate': 'Bearer realm="sealpost metrics"' },
};

export class MetricsServer {
  readonly #node: Watched;
  readonly #services: readonly ServiceName[];
  readonly #log: Logger;
  #open: { place: Place; server: SmallServer } | undefined;
  #changes: Promise<void> = Promise.resolve();
  /** The last change could not be followed yet. */
  #again: NodeJS.Timeout | undefined;
  #watched = false;
  #last: { at: number; text: Promise<string> } | undefined;

  private constructor(node: Watched, services: readonly ServiceName[], log: Logger) {
    this.#node = node;
    this.#services = services;
    this.#log = log;
  }

  /** Rejects with `listen-failed`. */
  static async start(node: Watched, services: readonly ServiceName[], log: Logger): Promise<MetricsServer> {
    const opened = new MetricsServer(node, services, log);
    const { current } = node.settings;
    metrics.setDefaultLabels({ node: current.node.name });
    gauge('info', 'The version that runs', ['version']).set({ version: VERSION }, 1);
    await opened.#apply(current.metrics);
    node.settings.onChange(() => opened.#changed());
    return opened;
  }

  /** Where it listens; undefined where it does not. */
  get port(): number | undefined {
    return this.#open?.server.port;
  }

  #changed(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#changes = this.#changes.then(() => this.#follow());
  }

  async #follow(): Promise<void> {
    try {
      await this.#apply(this.#node.settings.current.metrics);
      this.#again = undefined;
    } catch (error) {
      if (this.#again === undefined) this.#log.error({ error: errorText(error) }, 'metrics not served');
      this.#again = setTimeout(() => {
        this.#changes = this.#changes.then(() => this.#follow());
      }, AGAIN_MS).unref();
    }
  }

  async #apply(place: Config['metrics']): Promise<void> {
    const now = this.#open;
    if (now !== undefined && now.place.address === place?.address && now.place.port === place.port) {
      this.#open = { ...now, place };
      return;
    }
    this.#open = undefined;
    await now?.server.close();
    if (place === undefined) return;
    this.#watchProcess();
    const { address, port } = place;
    const server = await SmallServer.open({
      ...{ address, port, log: this.#log, what: 'metrics', sessions: MOST_CONNECTIONS, byClient: false },
      answer: (request) => this.#answer(request),
    });
    server.unref();
    this.#open = { place, server };
  }

  /** Processor, memory, event loop: their observers cost a little, so they begin with the first place to ask. */
  #watchProcess(): void {
    if (this.#watched) return;
    this.#watched = true;
    collectDefaultMetrics({ register: metrics });
  }

  async #answer(request: IncomingMessage): Promise<SmallAnswer> {
    if (request.url?.split('?', 1)[0] !== '/metrics') return NOT_FOUND;
    const token = this.#open?.place.token;
    if (token !== undefined && !bears(request, token)) return NOT_ADMITTED;
    try {
      return { code: 200, body: await this.#text(), type: metrics.contentType };
    } catch (error) {
      this.#log.error({ err: error }, 'metrics could not be read');
      return { code: 500 };
    }
  }

  #text(): Promise<string> {
    const now = performance.now();
    if (this.#last === undefined || now - this.#last.at > FRESH_MS) {
      this.#last = { at: now, text: read(this.#node, this.#services).then(() => metrics.metrics()) };
    }
    return this.#last.text;
  }
}

/** Whether a request has this token (RFC 6750 §2.1). Digests of one length can be compared in constant time. */
function bears(request: IncomingMessage, token: Secret): boolean {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token.reveal()));
}
