import { getDomain } from 'tldts';
import { isForgotten, type TlsRecord, type TlsRecordKind } from '#shared/mail/tls-memory.ts';
import { parsePolicyFile } from '#shared/mta-sts/policy-file.ts';
import { endOf, type KeptPolicy } from '../delivery/tls-policy/sts/kept.ts';

/**
 * What is remembered, in memory, by kind and name. Records come from this router, its disk and other routers, in any order and more
 * than once: the later one counts, so that all routers end with the same. That something is to be forgotten is a record too, and
 * stands until no record from before it can come any more.
 *
 * Each kind has room of its own, because names can be made up by anybody whom we send mail to: many domains do not push
 * out policies. What was learned longest ago makes room; among policies first those of an organization that has more than its
 * share, because anybody can publish one for each of many subdomains, then those that nothing is enforced by.
 */

const DAY_MS = 86_400_000;
const KEPT_MS = 90 * DAY_MS;
/** Records of each kind, and their bytes where they are of any size. */
const MOST: Record<TlsRecordKind, { records: number; bytes: number }> = {
  domain: { records: 100_000, bytes: Number.POSITIVE_INFINITY },
  host: { records: 20_000, bytes: Number.POSITIVE_INFINITY },
  policy: { records: 10_000, bytes: 16 * 1024 * 1024 },
};

/** An organization may have this part of the room for policies, once that is full. */
const SHARE = 1 / 100;
/** What a line takes in memory beside its characters. */
const LINE_BYTES = 100;

type Entry = {
  record: TlsRecord;
  /** When it is forgotten by itself, ms since 1970. */
  until: number;
  bytes: number;
  kept: KeptPolicy | undefined;
  /** Of policies: the organizational domain. */
  owner: string | undefined;
};
type Kind = { entries: Map<string, Entry>; bytes: number };

/** Names what a record is about, on disk too. */
export type TlsKey = `${TlsRecordKind}!${string}`;

export const keyOf = ({ kind, name }: Pick<TlsRecord, 'kind' | 'name'>): TlsKey => `${kind}!${name}`;

/** `problem`: why a record cannot be used. `gone`: what made room for it. */
export type Learned = { news: boolean; gone: TlsKey[]; problem?: string };

const NO_NEWS: Learned = { news: false, gone: [] };

export class Entries {
  readonly #kinds: Record<TlsRecordKind, Kind> = { domain: empty(), host: empty(), policy: empty() };
  readonly #most: typeof MOST;

  constructor(most = MOST) {
    this.#most = most;
  }

  get<K extends TlsRecordKind>(kind: K, name: string): Extract<TlsRecord, { kind: K }> | undefined {
    return this.#kinds[kind].entries.get(name)?.record as Extract<TlsRecord, { kind: K }> | undefined;
  }

  at(key: TlsKey): TlsRecord | undefined {
    const [kind, name] = splitKey(key);
    return this.#kinds[kind]?.entries.get(name)?.record;
  }

  policy(domain: string): KeptPolicy | undefined {
    return this.#kinds.policy.entries.get(domain)?.kept;
  }

  policies(): Iterable<string> {
    return this.#kinds.policy.entries.keys();
  }

  get size(): number {
    return Object.values(this.#kinds).reduce((sum, { entries }) => sum + entries.size, 0);
  }

  /** Take a record. A time to come, of a router whose clock is ahead, counts as now. */
  learn(given: TlsRecord, now: number): Learned {
    const record = { ...given, at: Math.min(given.at, now) };
    const known = this.#kinds[record.kind].entries.get(record.name);
    if (known !== undefined && !isLater(record, known.record)) return NO_NEWS;
    const kept = record.kind === 'policy' ? keptOf(record) : undefined;
    if (typeof kept === 'string') return { ...NO_NEWS, problem: kept };
    const until = kept === undefined ? record.at + KEPT_MS : Math.max(endOf(kept), record.at + DAY_MS);
    if (until <= now) return NO_NEWS;
    const owner = record.kind === 'policy' ? ownerOf(record.name) : undefined;
    return { news: true, gone: this.#put({ record, until, bytes: bytesOf(record), kept, owner }) };
  }

  /** Forget what is over; returns what that is. */
  expire(now: number): TlsKey[] {
    const over = Object.values(this.#kinds).flatMap(({ entries }) =>
      [...entries.values()].filter(({ until }) => until <= now).map(({ record }) => keyOf(record)),
    );
    for (const key of over) this.#remove(...splitKey(key));
    return over;
  }

  #put(entry: Entry): TlsKey[] {
    const { kind, name } = entry.record;
    const { entries } = this.#kinds[kind];
    this.#remove(kind, name);
    entries.set(name, entry);
    this.#kinds[kind].bytes += entry.bytes;
    const most = this.#most[kind];
    const gone: TlsKey[] = [];
    while (entries.size > most.records || this.#kinds[kind].bytes > most.bytes) {
      const [oldest] = entries.keys();
      const goes = (kind === 'policy' ? leastWorth(entries, most) : undefined) ?? oldest;
      if (goes === undefined) break;
      this.#remove(kind, goes);
      gone.push(keyOf({ kind, name: goes }));
    }
    return gone;
  }

  #remove(kind: TlsRecordKind, name: string): void {
    const of = this.#kinds[kind];
    of.bytes -= of.entries.get(name)?.bytes ?? 0;
    of.entries.delete(name);
  }
}

function empty(): Kind {
  return { entries: new Map(), bytes: 0 };
}

/** The policy that goes before the oldest one, if there is one. */
function leastWorth(entries: Kind['entries'], most: { records: number; bytes: number }): string | undefined {
  const parts = new Map<string | undefined, number>();
  for (const { owner, bytes } of entries.values()) {
    parts.set(owner, (parts.get(owner) ?? 0) + Math.max(bytes / most.bytes, 1 / most.records));
  }
  const [largest, part] = [...parts].reduce((a, b) => (b[1] > a[1] ? b : a));
  for (const [name, { owner }] of entries) if (part > SHARE && owner === largest) return name;
  for (const [name, { kept }] of entries) if (kept !== undefined && kept.file.mode !== 'enforce') return name;
  return undefined;
}

/** Without private suffixes of the list: below many of them anybody gets names for nothing. */
function ownerOf(domain: string): string {
  return getDomain(domain) ?? domain;
}

function splitKey(key: TlsKey): [kind: TlsRecordKind, name: string] {
  const end = key.indexOf('!');
  return [key.slice(0, end) as TlsRecordKind, key.slice(end + 1)];
}

function isLater(record: TlsRecord, known: TlsRecord): boolean {
  if (record.at !== known.at) return record.at > known.at;
  // What was forgotten in the moment that it was learned is forgotten.
  if (isForgotten(record) !== isForgotten(known)) return isForgotten(record);
  if (record.kind === 'policy' && known.kind === 'policy')
    return (record.policy?.used ?? 0) > (known.policy?.used ?? 0);
  return false;
}

/** The policy in a record, or why there is none in it; undefined: it is to be forgotten. */
function keptOf({ at, policy }: Extract<TlsRecord, { kind: 'policy' }>): KeptPolicy | string | undefined {
  if (policy === undefined) return undefined;
  const file = parsePolicyFile(policy.lines.join('\n'));
  return 'problem' in file ? file.problem : { id: policy.id, file, fetched: at, used: policy.used };
}

function bytesOf(record: TlsRecord): number {
  const lines = record.kind === 'policy' ? (record.policy?.lines ?? []) : [];
  return lines.reduce((sum, line) => sum + line.length + LINE_BYTES, record.name.length);
}
