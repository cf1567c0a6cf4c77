import { Driver } from '#services/credential-store/driver/driver.ts';
import type { DriverEffects } from '#services/credential-store/driver/effects.ts';
import type { DomainRecord, KeyRecord } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import { silentLogger } from '#shared/log.ts';
import type { Chance } from '#test/kit/simulation/chance.ts';
import type { VirtualTime } from '#test/kit/simulation/virtual-time.ts';
import type { SimulatedDns } from './dns.ts';
import type { SimulatedLog, Writer } from './log.ts';

/**
 * One node: its copy of the log, its signers' copy of that, what it hears of the others, and its driver. It may be
 * down, cut off from the other nodes (not from DNS), slow to apply, or have a wrong clock.
 */

const HEARD_MS = 5000;
const LISTEN_MS = 3000;
export const EPOCH = Date.UTC(2026, 0, 1);

type Heard = { revision: number; signer: number; at: number };
type Change = (record: DomainRecord | undefined) => DomainRecord | undefined;

/** What a node is given of its cluster. */
export type Surroundings = {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly log: SimulatedLog;
  readonly dns: SimulatedDns;
  readonly nodes: readonly SimulatedNode[];
  readonly timing: { retireAfterMs: number; keepRevokedMs: number };
  act<T>(effect: () => T): Promise<T>;
  reach(from: SimulatedNode, name: string): SimulatedNode;
  successors(record: DomainRecord, node: SimulatedNode): KeyRecord[];
};

export class SimulatedNode {
  readonly name: string;
  up = true;
  connected = true;
  /** Of its clock, ms. */
  skew = 0;
  /** How slowly it and its signers apply what others wrote, ms. */
  lag = 30;
  signerLag = 30;
  /** The others do not hear of it, though it can write. */
  mute = false;
  /** Its signers cannot use keys that they have not used before. */
  unusable = false;
  /** Since when it is there without a break. */
  since = 0;
  /** Entries that the store has applied, and its signers. */
  applied = 0;
  signerApplied = 0;
  readonly records = new Map<string, DomainRecord>();
  readonly signerRecords = new Map<string, DomainRecord>();
  #lives = 1;
  #caughtUp = true;
  #listening = -LISTEN_MS;
  readonly #heard = new Map<string, Heard>();
  readonly #cluster: Surroundings;
  #driver: Driver;

  constructor(name: string, cluster: Surroundings) {
    this.name = name;
    this.#cluster = cluster;
    this.#driver = this.#newDriver();
  }

  start(): void {
    this.#driver.start();
    this.#announceForever();
  }

  get life(): string {
    return `${this.name}#${this.#lives}`;
  }

  get wallClock(): number {
    return EPOCH + this.#cluster.time.now + this.skew;
  }

  cutOff(): void {
    this.connected = false;
    this.#caughtUp = false;
    this.#heard.clear();
  }

  /** The others hear of it again; until then none could wait for it. */
  speak(): void {
    this.mute = false;
    this.since = this.#cluster.time.now;
  }

  reconnect(): void {
    this.connected = true;
    this.#back();
  }

  crash(): void {
    if (!this.up) return;
    this.up = false;
    this.#caughtUp = false;
    this.#heard.clear();
    void this.#driver.close();
  }

  restart(): void {
    if (this.up) return;
    this.up = true;
    this.#lives++;
    this.#driver = this.#newDriver();
    this.#driver.start();
    this.#back();
  }

  close(): Promise<void> {
    return this.#driver.close();
  }

  /** Something was appended: apply it after a while, with all before it. */
  follow(): void {
    const { time, chance, log } = this.#cluster;
    const upTo = log.length;
    time.after(this.lag * chance.between(0.1, 1), () => this.#apply(upTo));
  }

  /** A change as the credential-store of this node makes it. */
  async update(
    domain: string,
    change: Change,
    writer: Writer,
  ): Promise<{ record: DomainRecord | undefined; revision: number }> {
    const { time, chance, log } = this.#cluster;
    for (let tries = 0; tries < 30; tries++) {
      if (!this.connected || !this.#caughtUp) await time.sleep(chance.between(500, 3000));
      // What a dead process would have asked next is never asked.
      if (!this.up || writer.life !== this.life) throw new SealpostError('no-quorum', 'the node is gone');
      if (!this.connected || !this.#caughtUp) throw new SealpostError('no-quorum', 'keys cannot be changed now');
      const seen = this.applied;
      const before = this.records.get(domain);
      const after = change(before);
      if (after === before || after === undefined) return { record: before, revision: seen };
      await time.sleep(chance.delay(5, 300));
      // Cut off on the way: it may have been sent, or not.
      if (!this.connected && chance.is(0.5)) throw new SealpostError('no-quorum', 'no node answers');
      if (log.length !== seen) {
        await time.sleep(chance.between(5, 50));
        continue;
      }
      log.append(domain, after, writer);
      const mine = log.length;
      await time.sleep(chance.delay(5, 300));
      if (!this.connected || chance.is(0.03)) throw new SealpostError('no-quorum', 'the answer was lost');
      this.#apply(mine);
      return { record: after, revision: mine };
    }
    throw new SealpostError('no-quorum', 'others are always faster');
  }

  /** The live processes, as the driver knows them. */
  live(): Holder[] | undefined {
    const { now } = this.#cluster.time;
    if (!this.up || !this.connected || !this.#caughtUp || now - this.#listening < LISTEN_MS) return undefined;
    return [...this.#heard].flatMap(([node, heard]): Holder[] => {
      if (now - heard.at > HEARD_MS) return [];
      const clock = (this.#cluster.nodes.find((n) => n.name === node)?.skew ?? 0) - this.skew;
      const holder = { node, instance: node, heard: now - heard.at, clock, neks: [] };
      return [
        { ...holder, kind: 'credential-store', revision: heard.revision },
        { ...holder, kind: 'signer', revision: heard.signer },
      ];
    });
  }

  hear(node: string, heard: Heard): void {
    this.#heard.set(node, heard);
    this.#driver.wake();
  }

  prove(domain: string, key: KeyRecord): void {
    const held = this.signerRecords.get(domain)?.keys.find((k) => k.selector === key.selector);
    if (held?.fingerprint !== key.fingerprint || held.wrapped === undefined) throw new Error('not held');
    if (this.unusable) throw new SealpostError('unusable', `the signer of ${this.name} has no NEK for it`);
  }

  #newDriver(): Driver {
    const { time } = this.#cluster;
    return new Driver(this.#effects(), { now: () => time.now, after: (ms, run) => time.after(ms, run) });
  }

  #effects(): DriverEffects {
    const cluster = this.#cluster;
    const writer: Writer = { node: this.name, life: this.life, role: 'driver', forced: false };
    const node = this;
    return {
      node: this.name,
      now: () => this.wallClock,
      records: {
        get: (domain) => this.records.get(domain),
        all: () => [...this.records.values()],
        update: (domain, change) => this.update(domain, change, writer),
        get revision() {
          return node.applied;
        },
      },
      live: () => this.live(),
      log: silentLogger,
      timing: () => cluster.timing,
      prove: (at, domain, key) => cluster.act(() => cluster.reach(this, at).prove(domain, key)),
      look: (at, domain, key, expected) =>
        cluster.act(() => cluster.dns.look(cluster.reach(this, at).name, nameOf(domain, key), key, expected)),
      publish: (domain, key) => cluster.act(() => cluster.dns.publish(nameOf(domain, key), key)),
      publishRevocation: (domain, key) => cluster.act(() => cluster.dns.revoke(nameOf(domain, key), key)),
      removeRecord: (domain, key) => cluster.act(() => cluster.dns.remove(nameOf(domain, key), key)),
      makeKeys: (record) => cluster.act(() => cluster.successors(record, this)),
    };
  }

  /** Back among the others: read what was missed, and listen for a while. */
  #back(): void {
    const { time, chance, log } = this.#cluster;
    this.since = time.now;
    this.#listening = time.now;
    time.after(this.lag * chance.between(1, 5), () => {
      if (!this.connected || !this.up) return;
      this.#caughtUp = true;
      this.#apply(log.length);
    });
  }

  #apply(upTo: number): void {
    const { log, time, chance } = this.#cluster;
    if (!this.up || !this.connected || !this.#caughtUp || upTo <= this.applied) return;
    for (const { domain, after } of log.entries.slice(this.applied, upTo)) this.records.set(domain, after);
    this.applied = upTo;
    this.#announce();
    this.#driver.wake();
    time.after(this.signerLag * chance.between(0.1, 1), () => this.#applySigner(upTo));
  }

  #applySigner(upTo: number): void {
    if (!this.up || upTo <= this.signerApplied) return;
    for (const { domain, after } of this.#cluster.log.entries.slice(this.signerApplied, upTo)) {
      this.signerRecords.set(domain, after);
    }
    this.signerApplied = upTo;
    this.#announce();
  }

  #announceForever(): void {
    this.#announce();
    this.#cluster.time.after(1000, () => this.#announceForever());
  }

  #announce(): void {
    const { time, chance, nodes } = this.#cluster;
    if (!this.up || !this.connected) return;
    const [revision, signer] = [this.applied, this.signerApplied];
    for (const other of nodes) {
      time.after(chance.between(1, 10), () => {
        if (!other.up || !other.connected || !this.connected || (this.mute && other !== this)) return;
        other.hear(this.name, { revision, signer, at: time.now });
      });
    }
  }
}

export const nameOf = (domain: string, key: { selector: string }): string => `${key.selector}._domainkey.${domain}`;
