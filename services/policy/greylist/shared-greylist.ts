import { join } from 'node:path';
import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { PeerBus } from '#cluster/members/peers.ts';
import type { EventPayload } from '#shared/contract.ts';
import { errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { MOST_GREYLISTED, type PolicyContract } from '../contract.ts';
import { type Attempt, Greylist, type GreylistTimes } from './greylist.ts';
import { readGreylist, writeGreylist } from './greylist-file.ts';

/**
 * The greylist that all nodes share, and that survives a restart.
 *
 * What an instance learns by itself it tells the others within `SOON_MS`: long before a client may come again, so a retry
 * at another node passes. One that starts, or whose bus was away, asks: the others tell it everything, in messages of
 * `MOST_GREYLISTED` networks. What is told while the bus is away waits. A message that is lost all the same costs a client
 * one more delay, no more.
 *
 * `greylist.json` in the data folder is a copy, written every `SAVE_MS` where something changed and at the stop, so that
 * known networks still pass after a restart, and after one of the whole cluster. Without it, or with a damaged one, the
 * list begins empty.
 */

const SOON_MS = 100;
const SAVE_MS = 300_000;

export type GreylistBus = PeerBus<PolicyContract, 'greylist'>;

export type SharedGreylistDeps = {
  settings: Settings;
  log: Logger;
  /** Undefined: this policy service is the only one. */
  peers: GreylistBus | undefined;
  now?: (() => number) | undefined;
};

export class SharedGreylist {
  readonly #list: Greylist;
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #bus: GreylistBus | undefined;
  readonly #file: string;
  readonly #instance = newId();
  readonly #loop = new AnnounceLoop(() => this.#say());
  /** Networks whose record the others do not know yet. */
  readonly #untold = new Set<string>();
  /** Ask the others for everything with the next message. */
  #asking = true;
  #saved = true;
  #saving: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopHearing: (() => void) | undefined;

  constructor({ settings, log, peers, now }: SharedGreylistDeps) {
    this.#settings = settings;
    this.#log = log;
    this.#bus = peers;
    this.#list = new Greylist(now);
    this.#file = join(settings.current.node.data, 'greylist.json');
  }

  /** Whether attempts are looked at. */
  get enabled(): boolean {
    return this.#settings.current.checks.greylist.enabled;
  }

  look(client: string, reversePath: string, recipient: string): Attempt {
    return this.#list.look(client, reversePath, recipient, this.#times);
  }

  /** Note what became of an attempt: accepted, or deferred for the greylist alone. */
  note(attempt: Attempt, became: 'accepted' | 'deferred'): void {
    if (!this.#list[became](attempt, this.#times)) return;
    this.#saved = false;
    this.#untold.add(attempt.network);
    if (this.#bus === undefined) this.#untold.clear();
    else this.#loop.within(SOON_MS);
  }

  async start(): Promise<void> {
    try {
      for (const record of await readGreylist(this.#file)) this.#list.learn(record, this.#times);
    } catch (error) {
      const fields = { file: this.#file, error: errorText(error) };
      this.#log.warn(fields, 'greylist of before the start cannot be used: it begins empty');
    }
    this.#timer = setInterval(() => this.#save(), SAVE_MS).unref();
    if (this.#bus === undefined) return;
    this.#stopHearing = this.#bus.hear('greylist', (heard) => this.#hear(heard));
    this.#loop.start(() => this.#look());
  }

  async stop(): Promise<void> {
    this.#stopHearing?.();
    this.#loop.stop(() => this.#say());
    clearInterval(this.#timer);
    this.#save();
    await this.#saving;
  }

  get #times(): GreylistTimes {
    return this.#settings.current.checks.greylist;
  }

  /** Each second: whether the bus has come back. */
  #look(): void {
    if (!this.#bus?.connected()) this.#asking = true;
    else if (this.#asking || this.#untold.size > 0) this.#say();
  }

  #say(): void {
    if (!this.#bus?.connected() || !this.enabled) return;
    const networks = [...this.#untold.values().take(MOST_GREYLISTED)];
    for (const network of networks) this.#untold.delete(network);
    if (networks.length === 0 && !this.#asking) return;
    const records = networks.map((network) => this.#list.record(network));
    this.#bus.announce('greylist', { instance: this.#instance, asking: this.#asking, records });
    this.#asking = false;
    if (this.#untold.size > 0) this.#loop.within(SOON_MS);
  }

  #hear({ instance, asking, records }: EventPayload<PolicyContract, 'greylist'>): void {
    if (instance === this.#instance) return;
    for (const record of records) this.#list.learn(record, this.#times);
    if (records.length > 0) this.#saved = false;
    if (!asking || !this.enabled) return;
    for (const network of this.#list.networks()) this.#untold.add(network);
    this.#loop.within(SOON_MS);
  }

  #save(): void {
    if (this.#saved) return;
    this.#saved = true;
    const records = this.#list.networks();
    this.#saving = this.#saving
      .then(() =>
        writeGreylist(
          this.#file,
          Iterator.from(records).map((network) => this.#list.record(network)),
        ),
      )
      .catch((error: unknown) => {
        this.#saved = false;
        this.#log.warn({ file: this.#file, error: errorText(error) }, 'greylist cannot be saved');
      });
  }
}
