import { join } from 'node:path';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import { Cable } from '#test/kit/bus/cable.ts';
import { type NatsServer, startNatsServer } from '#test/kit/bus/nats-server.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type StartOptions, TestRouter } from '#test/unit/router/fixture.ts';

/** How soon the routers of a site take over, in ms. */
export const TAKEOVER_MS = 2000;

/** A router with a bus of its own, whose line to NATS can be cut. */
export class SiteRouter implements AsyncDisposable {
  readonly name: string;
  readonly router: TestRouter;
  readonly cable: Cable;
  readonly folder: string;
  readonly #bus: NatsBus;

  constructor(name: string, router: TestRouter, cable: Cable, folder: string, bus: NatsBus) {
    this.name = name;
    this.router = router;
    this.cable = cable;
    this.folder = folder;
    this.#bus = bus;
  }

  async copies() {
    const { copies } = await this.router.status();
    if (copies === undefined) throw new Error('no bus');
    return copies;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router.stop();
    await this.#bus.drain();
    await this.cable[Symbol.asyncDispose]();
  }
}

/** Routers in this process that keep second copies for each other, on a real nats-server. */
export class RouterSite implements AsyncDisposable {
  readonly nats: NatsServer;
  readonly #folder: TempDir;

  private constructor(nats: NatsServer, folder: TempDir) {
    this.nats = nats;
    this.#folder = folder;
  }

  static async start(): Promise<RouterSite> {
    const nats = await startNatsServer({ jetStream: true });
    return new RouterSite(nats, await tempDir('routers'));
  }

  /** Start a router on the disk `disk`, by default that of its name. */
  async router(
    name: string,
    options: Pick<StartOptions, 'reports' | 'webServers' | 'meets' | 'config'> & {
      queue?: Record<string, unknown>;
      disk?: string;
      log?: Logger;
    } = {},
  ): Promise<SiteRouter> {
    const { queue = {}, disk = name, log = silentLogger, config, ...more } = options;
    const cable = await Cable.start(this.nats.port);
    const bus = await NatsBus.connect({ servers: [cable.url], node: name, log });
    const folder = join(this.#folder.path, disk);
    const router = await TestRouter.start(folder, {
      ...{ bus, name, log, ...more },
      config: {
        bus: { servers: [cable.url] },
        domains: [{ name: 'sealpost.test', local: true }],
        queue: { copies: 2, 'takeover-after': `${TAKEOVER_MS / 1000}s`, ...queue },
        ...config,
      },
      // A test that ends needs no deliveries.
      times: { first: 1000 },
    });
    return new SiteRouter(name, router, cable, folder, bus);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nats[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Wait until each of the routers takes mail, which with two copies means that it has found another one. */
export async function ready(...routers: SiteRouter[]): Promise<void> {
  for (const { router, name } of routers) {
    await waitFor(async () => (await router.status()).refusing === undefined, {
      ...{ what: `${name} to take mail`, timeout: 20_000 },
    });
  }
}
