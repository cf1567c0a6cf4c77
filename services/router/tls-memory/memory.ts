import type { Store } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { isForgotten, TlsName, type TlsRecord } from '#shared/mail/tls-memory.ts';
import { MOST_TLS_RECORDS } from '../contract.ts';
import type { RememberedDomain, RememberedHost, TlsMemory } from '../delivery/tls-policy/memory.ts';
import type { KeptPolicies, KeptPolicy } from '../delivery/tls-policy/sts/kept.ts';
import { MemoryDisk } from './disk.ts';
import { Entries, keyOf, type TlsKey } from './entries.ts';

/**
 * What this router remembers of the TLS of others. Reading is from memory; what is new goes to disk, and to the other routers
 * (sharing.ts), within `SOON_MS`, together with what else is new. Mail does not wait for either, so what was learned in
 * the last moment before a crash may be lost: it is learned again with the next message.
 *
 * The same fact about a domain or a host is news again after `NEWS_MS`. While the disk fails, what is new waits.
 */

const SOON_MS = 1000;
const NEWS_MS = 3_600_000;
const RETRY_MS = 10_000;
const EXPIRE_MS = 600_000;
/** Bytes in one answer or event: NATS carries 1 MB. */
const PAGE_BYTES = 256 * 1024;

export type MemoryDeps = {
  store: Store;
  log: Logger;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

export type Page = { records: TlsRecord[]; next?: string };

export class SharedTlsMemory implements TlsMemory {
  readonly #entries = new Entries();
  readonly #disk: MemoryDisk;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #failures = new LimitedLog();
  /** What is not on disk yet. */
  readonly #unwritten = new Set<TlsKey>();
  /** What the other routers do not know yet. */
  readonly #untold = new Set<TlsKey>();
  #tell: ((records: TlsRecord[]) => void) | undefined;
  #soon: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #expiring: NodeJS.Timeout;
  #stopped = false;

  private constructor({ store, log, now = Date.now }: MemoryDeps) {
    this.#disk = new MemoryDisk(store, log);
    this.#log = log;
    this.#now = now;
    this.#expiring = setInterval(() => this.expire(), EXPIRE_MS).unref();
  }

  /** With what is on disk. Rejects as the store does. */
  static async open(deps: MemoryDeps): Promise<SharedTlsMemory> {
    const memory = new SharedTlsMemory(deps);
    for (const record of await memory.#disk.load()) memory.learn(record);
    memory.#unwritten.clear();
    memory.expire();
    return memory;
  }

  get size(): number {
    return this.#entries.size;
  }

  domain(name: string): RememberedDomain | undefined {
    const record = this.#entries.get('domain', name);
    return record?.reached && { reached: record.reached, at: record.at };
  }

  host(name: string): RememberedHost | undefined {
    const record = this.#entries.get('host', name);
    return record?.reducedHello && { reducedHello: record.at };
  }

  noteDomain(name: string, { reached, at }: RememberedDomain): void {
    const known = this.#entries.get('domain', name);
    if (known?.reached === reached && at - known.at < NEWS_MS) return;
    this.#note({ kind: 'domain', name, at, reached });
  }

  noteHost(name: string, { reducedHello: at }: RememberedHost): void {
    const known = this.#entries.get('host', name);
    if (known?.reducedHello && at - known.at < NEWS_MS) return;
    this.#note({ kind: 'host', name, at, reducedHello: true });
  }

  readonly policies: KeptPolicies = {
    get: (domain) => this.#entries.policy(domain),
    keep: (name, { id, file, fetched, used }: KeptPolicy) => {
      this.#note({ kind: 'policy', name, at: fetched, policy: { id, used, lines: [...file.lines] } });
    },
    domains: () => this.#entries.policies(),
  };

  /** Take what another router has learned; it told the others itself. */
  learn(record: TlsRecord): void {
    const { news, gone, problem } = this.#entries.learn(record, this.#now());
    if (problem !== undefined) this.#disk.sayUnusable(keyOf(record), problem);
    for (const key of news ? [keyOf(record), ...gone] : gone) this.#write(key);
  }

  /** Forget all about a domain and a host of that name, at all routers. Resolves to what there was. Rejects as the store does. */
  async forget(name: string): Promise<TlsRecord[]> {
    const at = this.#now();
    const all = (['domain', 'host', 'policy'] as const).map((kind) => ({ kind, name, at }));
    const known = all.map((record) => this.#entries.at(keyOf(record))).filter((record) => record !== undefined);
    for (const record of all) this.#note(record);
    await this.#flush();
    return known.filter((record) => !isForgotten(record));
  }

  /** Records after `after`, of a domain and what is below it or of all; `next` where there is more. Rejects as the store does. */
  async page({ after, domain }: { after?: string | undefined; domain?: string | undefined }): Promise<Page> {
    await this.#flush();
    const isWanted = (name: string): boolean => domain === undefined || name === domain || name.endsWith(`.${domain}`);
    const records: TlsRecord[] = [];
    let bytes = 0;
    const next = await this.#disk.walk(after, isWanted, (key) => {
      const record = this.#entries.at(key);
      if (record === undefined) return true;
      records.push(record);
      bytes += sizeOf(record);
      return records.length < MOST_TLS_RECORDS && bytes < PAGE_BYTES;
    });
    return { records, ...(next !== undefined && { next }) };
  }

  /** Give what is new to `tell`, from now on. */
  tellWith(tell: (records: TlsRecord[]) => void): void {
    this.#tell = tell;
  }

  /** Tell what is new, a message at a time. */
  tellNow(): void {
    while (this.#tell !== undefined && this.#untold.size > 0) {
      const records: TlsRecord[] = [];
      let bytes = 0;
      for (const key of this.#untold) {
        if (records.length >= MOST_TLS_RECORDS || bytes >= PAGE_BYTES) break;
        this.#untold.delete(key);
        const record = this.#entries.at(key);
        if (record === undefined) continue;
        records.push(record);
        bytes += sizeOf(record);
      }
      if (records.length > 0) this.#tell(records);
    }
  }

  expire(): void {
    for (const key of this.#entries.expire(this.#now())) this.#write(key);
  }

  async stop(): Promise<void> {
    clearInterval(this.#expiring);
    clearTimeout(this.#soon);
    this.tellNow();
    this.#stopped = true;
    await this.#flush().catch((error: unknown) => this.#sayFailed(error));
    this.#failures.close();
  }

  /** This router has learned something. */
  #note(record: TlsRecord): void {
    if (!TlsName.safeParse(record.name).success) return;
    const { news, gone } = this.#entries.learn(record, this.#now());
    for (const key of gone) this.#write(key);
    if (!news) return;
    this.#write(keyOf(record));
    if (this.#tell !== undefined) this.#untold.add(keyOf(record));
  }

  #write(key: TlsKey): void {
    this.#unwritten.add(key);
    this.#later(SOON_MS);
  }

  #later(ms: number): void {
    if (this.#stopped) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.tellNow();
      this.#flush().catch((error: unknown) => {
        this.#sayFailed(error);
        this.#later(RETRY_MS);
      });
    }, ms).unref();
  }

  /** Resolves when all that was learned is on disk. Rejects as the store does; it is not lost then. */
  #flush(): Promise<void> {
    const written = this.#writing.then(async () => {
      const changed = [...this.#unwritten];
      this.#unwritten.clear();
      try {
        await this.#disk.write(changed, (key) => this.#entries.at(key));
      } catch (error) {
        for (const key of changed) this.#unwritten.add(key);
        throw error;
      }
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  #sayFailed(error: unknown): void {
    this.#failures.say('', (repeated) =>
      this.#log.warn(
        { error: errorText(error), ...repeated },
        'what was learned of the TLS of others is not on disk yet: it is written when the store works again',
      ),
    );
  }
}

function sizeOf(record: TlsRecord): number {
  const lines = record.kind === 'policy' ? (record.policy?.lines ?? []) : [];
  return lines.reduce((sum, line) => sum + line.length * 2, 200 + record.name.length);
}
