import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { AuditEntry, type AuditSearch } from '#shared/audit/entry.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorText } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The audit log of a node, in its store of credentials.
 *
 *   audit!<id>    the entry as JSON; ids sort by time
 *
 * The service that makes a change asks any credential-store, its own first, to write the entry, before it answers. An entry
 * is on one node: it is for people who ask later, and whoever can change a disk can change what is on it. So the log of the
 * service has it too (services/audit.ts).
 *
 * A command that changes much mail makes many changes alike, one after the other: those within a minute are one entry, with
 * their number. Entries older than `audit.keep` are deleted.
 */

const PREFIX = 'audit!';
const END = 'audit"';
const PAGE = 200;
/** Entries that a page may look at: a search for what is rare answers with fewer, and goes on. */
const MOST_READ = 5000;
const ALIKE_MS = 60_000;
const PURGE_MS = 3_600_000;
const KINDS = 100;

export class AuditLog {
  readonly #store: Store;
  readonly #settings: Settings;
  readonly #log: Logger;
  /** The last entry of each kind, which the next one may be like. */
  readonly #last = new BoundedMap<string, AuditEntry>(KINDS);
  readonly #timer: NodeJS.Timeout;

  constructor(deps: { store: Store; settings: Settings; log: Logger }) {
    this.#store = deps.store;
    this.#settings = deps.settings;
    this.#log = deps.log;
    this.#timer = setInterval(() => void this.#purgeLogged(), PURGE_MS).unref();
    void this.#purgeLogged();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Resolves when it is on disk. */
  async append(entry: AuditEntry): Promise<void> {
    const kind = kindOf(entry);
    const written = alike(this.#last.get(kind), entry);
    this.#last.set(kind, written);
    await this.#store.persist([{ type: 'put', key: PREFIX + written.id, value: Buffer.from(JSON.stringify(written)) }]);
  }

  /** Newest first; `before`: the `next` of an earlier page. */
  async page(search: AuditSearch & { before?: string | undefined }): Promise<{ entries: AuditEntry[]; next?: string }> {
    const { since, until, before } = search;
    const bounds = [before, until === undefined ? undefined : queueIdFloor(until + 1)].filter((b) => b !== undefined);
    const lt = bounds.length === 0 ? END : PREFIX + bounds.toSorted()[0];
    const range = { gte: PREFIX + (since === undefined ? '' : queueIdFloor(since)), lt, reverse: true };
    const entries: AuditEntry[] = [];
    let read = 0;
    for await (const [key, value] of this.#store.entries(range)) {
      const entry = this.#parse(key, value);
      if (entry !== undefined && fits(entry, search)) entries.push(entry);
      if (entries.length === PAGE || ++read === MOST_READ) return { entries, next: key.slice(PREFIX.length) };
    }
    return { entries };
  }

  #parse(key: string, value: Buffer): AuditEntry | undefined {
    try {
      return AuditEntry.parse(JSON.parse(value.toString()));
    } catch (error) {
      this.#log.warn({ key, error: errorText(error) }, 'an entry of the audit log cannot be read: it is left out');
      return undefined;
    }
  }

  async #purgeLogged(): Promise<void> {
    await this.purge(Date.now()).catch((error: unknown) =>
      this.#log.warn({ error: errorText(error) }, 'old entries of the audit log were not deleted'),
    );
  }

  /** Delete what is too old; `now` in ms since 1970. */
  async purge(now: number): Promise<void> {
    const lt = PREFIX + queueIdFloor(now - this.#settings.current.audit.keep);
    const old: string[] = [];
    for await (const key of this.#store.keys({ gte: PREFIX, lt })) old.push(key);
    if (old.length > 0) await this.#store.persist(old.map((key) => ({ type: 'del', key })));
  }
}

function kindOf({ by, node, service, operation, about, outcome }: AuditEntry): string {
  return JSON.stringify([by, node, service, operation, about, outcome]);
}

/** The entry, or the one before it of its kind with one more. */
function alike(before: AuditEntry | undefined, entry: AuditEntry): AuditEntry {
  if (before === undefined || before.id === entry.id) return entry;
  if (entry.at - (before.until ?? before.at) > ALIKE_MS) return entry;
  return { ...before, times: (before.times ?? 1) + 1, until: entry.at };
}

function fits({ by, about, service, operation }: AuditEntry, search: AuditSearch): boolean {
  const has = (text: string, part: string | undefined): boolean =>
    part === undefined || text.toLowerCase().includes(part.toLowerCase());
  return has(by, search.by) && has(`${service} ${operation} ${about}`, search.about);
}
