import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';

/**
 * The replicated log as the cluster has it: changes in one order. Each is accepted only from a writer that had seen all
 * before it, as JetStream does it (`cluster/replicated/map.ts`).
 */

/** The writer: a process (`edge-1#2` is the second life of edge-1), and whether its driver or an administrator there. */
export type Writer = { node: string; life: string; role: 'driver' | 'admin'; forced: boolean };
export type Entry = { domain: string; before: DomainRecord | undefined; after: DomainRecord; writer: Writer };

export class SimulatedLog {
  readonly entries: Entry[] = [];
  readonly #records = new Map<string, DomainRecord>();
  readonly #listeners: ((entry: Entry) => void)[] = [];

  get length(): number {
    return this.entries.length;
  }

  get(domain: string): DomainRecord | undefined {
    return this.#records.get(domain);
  }

  all(): DomainRecord[] {
    return [...this.#records.values()];
  }

  onEntry(listener: (entry: Entry) => void): void {
    this.#listeners.push(listener);
  }

  append(domain: string, after: DomainRecord, writer: Writer): void {
    const entry = { domain, before: this.#records.get(domain), after: freeze(after), writer };
    this.#records.set(domain, after);
    this.entries.push(entry);
    for (const listener of this.#listeners) listener(entry);
  }
}

/** What several nodes hold must not be changed. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) freeze(part);
  }
  return value;
}
