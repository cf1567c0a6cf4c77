import pino from 'pino';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Store } from '#cluster/store.ts';
import type { Logger } from '#shared/log.ts';
import { Chance } from '#test/kit/simulation/chance.ts';
import { VirtualTime } from '#test/kit/simulation/virtual-time.ts';
import { TestRouter } from '#test/unit/router/fixture.ts';
import { Life, replaceClocks } from './life.ts';
import { MemoryStore } from './memory-store.ts';
import { World } from './world.ts';

/** A router over a disk in memory, with the world around it. It crashes, is stopped, and starts again. */

export const EXPIRE_MS = 900_000;
const TIMES = { first: 10_000, max: 60_000, expire: EXPIRE_MS, delayNotice: 120_000 };
/** Ids of messages never go back: each run begins after all before it. */
const WALL = Date.UTC(2030, 0, 1);
const DAY_MS = 86_400_000;
const LIMIT = 10;
/** Longer than a slow host needs. */
const PATIENCE_MS = 3_600_000;

const SMART = { to: 'smart.example', via: 'smtp://smart.example:25' };
export const ROUTES = [
  [SMART],
  [SMART, { to: 'list.example', via: ['smtp://one.example:25', 'smtp://two.example:25'] }],
  [{ to: '*', via: 'smtp://smart.example:25' }],
];

export class Site {
  readonly chance: Chance;
  readonly world: World;
  readonly time = new VirtualTime(() => new Promise((resolve) => setImmediate(resolve)));
  readonly clock: { wall: number; random: () => number };
  readonly #folder: string;
  readonly #disk = new Map<string, Buffer>();
  #life: Life;
  #store: MemoryStore;
  router!: TestRouter;
  routes = 0;

  private constructor(folder: string, seed: number) {
    const chance = new Chance(seed);
    this.chance = chance;
    this.#folder = folder;
    this.world = new World(chance);
    this.clock = { wall: WALL + seed * DAY_MS, random: () => chance.between(0, 1) };
    this.#life = new Life(this.time);
    this.#store = new MemoryStore(this.#disk, this.#life, chance);
    replaceClocks(this.time, this.clock, () => this.#life);
    Store.open = async () => this.#store.asStore;
  }

  static async open(folder: string, seed: number): Promise<Site> {
    const site = new Site(folder, seed);
    await site.start();
    return site;
  }

  get store(): MemoryStore {
    return this.#store;
  }

  async start(): Promise<void> {
    this.#life = new Life(this.time);
    this.#store = new MemoryStore(this.#disk, this.#life, this.chance);
    const rates = { destinations: [{ to: 'paced.example', messages: '120/1m' }] };
    const log = storyLogger((text) => this.world.note(text));
    const started = TestRouter.start(this.#folder, {
      log,
      times: TIMES,
      config: { routes: ROUTES[this.routes] ?? [], rates },
      prepare: (router) => {
        router.settings.current.queue['active-limit'] = LIMIT;
        this.world.attach(router.delivery, this.#life);
      },
    });
    this.router = await this.until(started, 'the start');
  }

  crash(): void {
    this.world.note('crash');
    this.world.count('crash');
    this.#store.crash();
    this.#life.end();
    this.world.crashed();
  }

  async stop(): Promise<void> {
    this.world.note('stop');
    this.world.count('stop');
    this.world.forgetful = this.#store.failure !== undefined;
    await this.until(this.router.stop(), 'the stop');
    this.#life.end();
    if (this.world.forgetful) this.world.crashed();
    this.world.forgetful = false;
  }

  reload(routes: number): void {
    this.routes = routes;
    const { settings } = this.router;
    const { current } = settings;
    this.world.note(`routes ${routes}`);
    const { node } = current;
    settings.replace({ ...current, routes: ConfigSchema.parse({ node, routes: ROUTES[routes] ?? [] }).routes });
  }

  /** Let time pass until something is done. */
  async until<T>(promise: Promise<T>, what: string): Promise<T> {
    const end = this.time.now + PATIENCE_MS;
    let state: 'open' | 'done' = 'open';
    const done = promise.finally(() => {
      state = 'done';
    });
    done.catch(() => undefined);
    while ((state as string) === 'open') {
      if (this.time.now > end) throw new Error(`${what} does not end`);
      await this.time.runUntil(this.time.now + 5);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return done;
  }
}

/** What the router itself says is a part of the story. */
function storyLogger(note: (text: string) => void): Logger {
  const write = (line: string): void => note(`log ${line.trim()}`);
  return pino(
    { level: 'warn', base: undefined, timestamp: false, formatters: { level: (level) => ({ level }) } },
    { write },
  );
}
