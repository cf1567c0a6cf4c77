import { isDeepStrictEqual } from 'node:util';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { SealpostError } from '#shared/errors.ts';
import { type CredentialRecord, DomainRecord, domainKey, NEKS_KEY, NekList, publishedKey } from './domain-record.ts';
import type { Published } from './published-record.ts';

/** The replicated records by their kind: one of each domain, the list of named encryption keys, and what is in DNS besides. */
export class Records {
  readonly #map: ReplicatedMap<CredentialRecord>;
  readonly #assertChangeable: () => void;
  #all: { of: readonly unknown[]; records: readonly DomainRecord[] } = { of: [], records: [] };

  /** `assertChangeable` throws while nothing may be changed. */
  constructor(map: ReplicatedMap<CredentialRecord>, assertChangeable: () => void = () => undefined) {
    this.#map = map;
    this.#assertChangeable = assertChangeable;
  }

  get(domain: string): DomainRecord | undefined {
    return domainIn(this.#map.get(domainKey(domain))?.value);
  }

  /** Ordered by domain; the same array until something changes. */
  all(): readonly DomainRecord[] {
    const entries = this.#map.entries();
    if (this.#all.of !== entries)
      this.#all = { of: entries, records: entries.flatMap(({ value }) => domainIn(value) ?? []) };
    return this.#all.records;
  }

  neks(): NekList | undefined {
    return neksIn(this.#map.get(NEKS_KEY)?.value);
  }

  /** What we published at a name in DNS about our TLS. */
  published(name: string): Published {
    return publishedIn(this.#map.get(publishedKey(name))?.value);
  }

  /** The names that we published something at. */
  publishedNames(): string[] {
    return this.#map.entries().flatMap(({ value }) => (value.kind === 'published' ? [value.name] : []));
  }

  /** The same on every node that saw the same changes; it never goes down. */
  get revision(): number {
    return this.#map.revision;
  }

  /** How many records, deleted ones among them, have no MAC by this NEK (a fingerprint). */
  without(nek: string): number {
    return this.#map.without(nek).length;
  }

  /** Give each of them one. Resolves to how many there were. Fails like `update`. */
  reseal(nek: string): Promise<number> {
    return resealAll(this.#map, nek);
  }

  /**
   * Compare-and-set of a domain's record. `change` gets the newest one, undefined where there is none, and is called
   * again when another writer was faster; it may throw to give up. It returns undefined to remove the record, its argument
   * to change nothing. Fails with `no-quorum`, `store-failed` or what `change` threw.
   */
  async update(
    domain: string,
    change: (record: DomainRecord | undefined) => DomainRecord | undefined,
  ): Promise<{ record: DomainRecord | undefined; revision: number }> {
    const { value, revision } = await this.#map.update(domainKey(domain), (current) => {
      this.#assertChangeable();
      const record = domainIn(current);
      const next = change(record);
      if (next === record) return current;
      return next === undefined ? undefined : { kind: 'domain', ...next };
    });
    return { record: domainIn(value), revision };
  }

  /** Like `update`, for the list of named encryption keys. */
  async updateNeks(change: (list: NekList | undefined) => NekList): Promise<{ neks: NekList; revision: number }> {
    const { value, revision } = await this.#map.update(NEKS_KEY, (current) => {
      this.#assertChangeable();
      const list = neksIn(current);
      const next = change(list);
      return next === list ? current : { kind: 'neks', ...next };
    });
    const neks = neksIn(value);
    if (neks === undefined) throw new SealpostError('store-failed', 'the list of named encryption keys is gone');
    return { neks, revision };
  }

  /** Like `update`, for what we publish at a name; without values the record goes. */
  async updatePublished(name: string, change: (before: Published) => Published): Promise<Published> {
    const { value } = await this.#map.update(publishedKey(name), (current) => {
      this.#assertChangeable();
      const before = publishedIn(current);
      const after = change(before);
      if (isDeepStrictEqual(after, before)) return current;
      return after.values.length === 0 ? undefined : { kind: 'published', name, ...after };
    });
    return publishedIn(value);
  }
}

/** Give each record without a MAC by this NEK one. Resolves to how many there were. Fails like `update`. */
export async function resealAll(map: Resealable, nek: string): Promise<number> {
  const keys = map.without(nek);
  for (const key of keys) await map.reseal(key, nek);
  return keys.length;
}

type Resealable = Pick<ReplicatedMap<unknown>, 'without' | 'reseal'>;

function publishedIn(value: CredentialRecord | undefined): Published {
  if (value?.kind !== 'published') return { values: [] };
  const { kind: _kind, name: _name, ...published } = value;
  return published;
}

/** Views are made once for each stored value, so that a record that did not change is the same object. */
const views = new WeakMap<CredentialRecord, DomainRecord | NekList>();

function domainIn(value: CredentialRecord | undefined): DomainRecord | undefined {
  return value?.kind === 'domain' ? (viewOf(value, DomainRecord) as DomainRecord) : undefined;
}

function neksIn(value: CredentialRecord | undefined): NekList | undefined {
  return value?.kind === 'neks' ? (viewOf(value, NekList) as NekList) : undefined;
}

function viewOf(value: CredentialRecord, schema: typeof DomainRecord | typeof NekList): DomainRecord | NekList {
  let view = views.get(value);
  if (view === undefined) {
    view = schema.parse(value);
    views.set(value, view);
  }
  return view;
}
