import pino from 'pino';
import { Driver } from '#services/credential-store/driver/driver.ts';
import type { DriverEffects } from '#services/credential-store/driver/effects.ts';
import type { DomainRecord, KeyRecord } from '#services/credential-store/records/domain-record.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import { VirtualTime } from '#test/kit/simulation/virtual-time.ts';
import { keyIn, NOW } from '#test/unit/credential-store/records/fixture.ts';

/** A driver whose effects all succeed immediately; a test may replace any of them. */
export class DriverBench {
  readonly time = new VirtualTime();
  readonly records = new Map<string, DomainRecord>();
  /** Every call, `publish s1`. */
  readonly calls: string[] = [];
  readonly lines: string[] = [];
  holders: Holder[];
  effects: DriverEffects;
  driver: Driver;
  /** Of the store; signers are always at it unless a test says otherwise. */
  revision = 1;

  constructor(records: DomainRecord[], node = 'edge-1', nodes = ['edge-1', 'edge-2', 'edge-3']) {
    for (const record of records) this.records.set(record.domain, record);
    this.holders = nodes.flatMap((name) => [holderOf(name, 'credential-store'), holderOf(name, 'signer')]);
    const stream = { write: (line: string) => this.lines.push((JSON.parse(line) as { msg: string }).msg) };
    const called = (what: string, key: KeyRecord): void => void this.calls.push(`${what} ${key.selector}`);
    const bench = this;
    this.effects = {
      node,
      now: () => NOW + this.time.now,
      records: {
        get: (domain) => this.records.get(domain),
        all: () => [...this.records.values()],
        update: async (domain, change) => {
          const record = change(this.records.get(domain));
          if (record !== undefined && record !== this.records.get(domain)) this.write(record);
          return { record, revision: this.revision };
        },
        get revision() {
          return bench.revision;
        },
      },
      live: () => this.holders,
      prove: async (at, _, key) => called(`prove ${at}`, key),
      publish: async (_, key) => called('publish', key),
      publishRevocation: async (_, key) => called('revoke', key),
      removeRecord: async (_, key) => called('remove', key),
      look: async (at, _, key, expected) => {
        called(`look ${at} ${expected}`, key);
        return viewOf('ok');
      },
      timing: () => ({ retireAfterMs: 60_000, keepRevokedMs: 30_000 }),
      makeKeys: async (record) =>
        record.keys.flatMap((k) => (k.state === 'active' ? [keyIn('created', `${k.selector}new`)] : [])),
      log: pino({ level: 'info' }, stream),
    };
    this.driver = new Driver(this.effects, { now: () => this.time.now, after: (ms, run) => this.time.after(ms, run) });
  }

  /** As if another node had written it. */
  write(record: DomainRecord): void {
    this.records.set(record.domain, record);
    this.revision++;
    for (const holder of this.holders) holder.revision = this.revision;
    this.driver.wake();
  }

  /** The driver works for so long, in ms. */
  async run(ms: number): Promise<void> {
    await this.time.runUntil(this.time.now + ms);
  }

  key(selector: string, domain = 'example.com'): KeyRecord | undefined {
    return this.records.get(domain)?.keys.find((k) => k.selector === selector);
  }

  /** How many calls begin like this. */
  count(call: string): number {
    return this.calls.filter((c) => c.startsWith(call)).length;
  }
}

export function holderOf(node: string, kind: Holder['kind']): Holder {
  return { node, kind, instance: node, revision: 1, heard: 0, clock: 0, neks: [] };
}

export function viewOf(
  verdict: DnsView['verdict'],
  summary = 'ns1 has no record',
  servers: DnsView['servers'] = [],
): DnsView {
  return { node: '', verdict, summary, servers, at: 0 };
}

/** Started, and closed at the end of the test. */
export async function started(t: { after(end: () => Promise<void>): void }, bench: DriverBench): Promise<DriverBench> {
  t.after(() => bench.driver.close());
  bench.driver.start();
  return bench;
}
