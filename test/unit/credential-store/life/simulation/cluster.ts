import { newSelectors } from '#services/credential-store/making/selector-name.ts';
import type { DomainRecord, KeyRecord, Publication } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import { Chance } from '#test/kit/simulation/chance.ts';
import { VirtualTime } from '#test/kit/simulation/virtual-time.ts';
import { SimulatedDns } from './dns.ts';
import { SimulatedLog } from './log.ts';
import { SimulatedNode } from './node.ts';

/** Some nodes, their log, DNS, and two domains. */

const SELECTORS = ['a', 'b', 'c'];

export class Cluster {
  readonly time = new VirtualTime();
  readonly chance: Chance;
  readonly log = new SimulatedLog();
  readonly dns: SimulatedDns;
  readonly nodes: SimulatedNode[];
  /** How keys of each domain are published. */
  readonly domains: ReadonlyMap<string, Publication>;
  readonly timing: { retireAfterMs: number; keepRevokedMs: number };
  /** Calls to other nodes and to DNS take long now. */
  slow = false;
  #keys = 0;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.timing = { retireAfterMs: this.chance.of([10_000, 25_000]), keepRevokedMs: this.chance.of([3000, 15_000]) };
    this.dns = new SimulatedDns(this.time, this.chance);
    const other: Publication = this.chance.of<Publication>([
      { by: 'manual' },
      { by: 'none' },
      { by: 'cname', zone: 'z.example', target: 't.z.example' },
    ]);
    this.domains = new Map<string, Publication>([
      ['a.example', { by: 'update', zone: 'a.example' }],
      ['b.example', other],
    ]);
    const names = ['edge-1', 'edge-2', 'edge-3', 'edge-4', 'edge-5'].slice(0, this.chance.of([3, 3, 4, 5]));
    this.nodes = names.map((name) => new SimulatedNode(name, this));
    for (const node of this.nodes) node.skew = this.chance.between(-1000, 1000);
    this.log.onEntry(() => {
      for (const node of this.nodes) node.follow();
    });
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }

  /**
   * An effect outside of a node, some time after it was requested; the node learns of it later still, or is gone by
   * then.
   */
  async act<T>(effect: () => T): Promise<T> {
    const long = this.slow ? 15_000 : 400;
    await this.time.sleep(this.chance.delay(20, long));
    const result = effect();
    await this.time.sleep(this.chance.delay(20, long));
    return result;
  }

  reach(from: SimulatedNode, name: string): SimulatedNode {
    const node = this.nodes.find((n) => n.name === name);
    if (node === from) return from;
    if (node?.up && node.connected && from.connected) return node;
    throw new SealpostError('timeout', `${name} does not answer`);
  }

  newKey(domain: string, selector: string, algorithm: KeyAlgorithm, node: SimulatedNode): KeyRecord {
    const id = `key${++this.#keys}`;
    const now = node.wallClock;
    const wrapped = { version: 1 as const, nek: 'nek', nekFingerprint: 'nf', iv: id, tag: id, data: id };
    const publication = this.domains.get(domain) ?? { by: 'none' as const };
    return {
      ...{ selector, algorithm, state: 'created', created: now, since: now, fingerprint: id, publicKey: id },
      ...{ activate: true, signed: false, publication, ttl: 2, wrapped },
    };
  }

  successors(record: DomainRecord, node: SimulatedNode): KeyRecord[] {
    const algorithms = record.keys.filter((k) => k.state === 'active').map((k) => k.algorithm);
    const selectors = this.selectors(record, record.domain, algorithms, node);
    return algorithms.map((algorithm, i) => this.newKey(record.domain, selectors[i] ?? '', algorithm, node));
  }

  selectors(
    record: DomainRecord | undefined,
    domain: string,
    algorithms: KeyAlgorithm[],
    node: SimulatedNode,
  ): string[] {
    const fixed = this.domains.get(domain)?.by === 'cname' ? SELECTORS : undefined;
    return newSelectors(record, algorithms, { now: node.wallClock, fixed });
  }
}
