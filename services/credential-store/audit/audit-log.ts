import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { AuditEntry, type AuditSearch } from '#shared/audit/entry.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { LimitedLog } from '#shared/limited-log.ts';
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
 * A command that changes much mail makes many changes alike, one after the other: those within a minute of each other are one
 * entry, with their number, for up to an hour. Entries older than `audit.keep` are deleted.
 *
 * Any service may append, also one that an attacker has taken over: so what is written stays as it is, and a user of the bus
 * makes so many entries an hour and no more.
 */

const PREFIX = 'audit!';
const END = 'audit"';
const PAGE = 200;
/** Entries that a page may look at: a search for what is rare answers with fewer, and goes on. */
const MOST_READ = 5000;
const ALIKE_MS = 60_000;
/** From the first to the last of those that are one entry: a search from a time on looks so far back. */
const SPAN_MS = 3_600_000;
/** More than a script makes that calls the command line for each message of a long list. */
const MOST_PER_HOUR = 10_000;
const HOUR_MS = 3_600_000;
const PURGE_MS = 3_600_000;
const KINDS = 100;

export class AuditLog {
  readonly #store: Store;
  readonly #settings: Settings;
  readonly #log: Logger;
  /** The last entry of each kind, which the next one may be like. */
  readonly #last = new BoundedMap<string, AuditEntry>(KINDS);
  /** New entries of this hour (`performance.now`), by the user of the bus who made them. */
  readonly #made = new BoundedMap<string, { since: number; entries: number }>(KINDS);
  readonly #floods = new LimitedLog();
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
    this.#floods.close();
  }

  /**
   * Resolves when it is on disk. Rejects with `store-failed`, with `malformed` where another entry has the id, and with `busy`
   * where the caller has made too many.
   */
  async append(entry: AuditEntry, caller?: string): Promise<void> {
    if (await this.#isAnother(entry)) {
      throw new SealpostError(CALL_ERRORS.malformed, `the audit log has another entry ${entry.id}: it stays as it is`);
    }
    const kind = kindOf(entry);
    const before = this.#last.get(kind);
    const written = alike(before, entry);
    if (written === entry && before?.id !== entry.id) this.#admit(caller);
    this.#last.set(kind, written);
    try {
      await this.#store.write([{ type: 'put', key: PREFIX + written.id, value: Buffer.from(JSON.stringify(written)) }]);
    } catch (error) {
      // Another store may take it.
      if (this.#last.get(kind) === written) {
        if (before === undefined) this.#last.delete(kind);
        else this.#last.set(kind, before);
      }
      throw error;
    }
  }

  /** Whether another entry has its id. */
  async #isAnother(entry: AuditEntry): Promise<boolean> {
    const key = PREFIX + entry.id;
    const there = await this.#store.get(key).catch(() => undefined);
    if (there === undefined) return false;
    const parsed = this.#parse(key, there);
    return parsed === undefined || kindOf(parsed) !== kindOf(entry) || parsed.at !== entry.at;
  }

  /** Count an entry of a caller, an inbox of a user of the bus; undefined: this process. */
  #admit(caller: string | undefined): void {
    if (caller === undefined) return;
    const user = caller.split('.', 1)[0] ?? '';
    const now = performance.now();
    const known = this.#made.get(user);
    const made = known === undefined || now - known.since > HOUR_MS ? { since: now, entries: 0 } : known;
    if (made.entries >= MOST_PER_HOUR) {
      this.#floods.say(user, (repeated) =>
        this.#log.warn({ caller: user, ...repeated }, 'an entry was not taken into the audit log: there are too many'),
      );
      throw new SealpostError(CALL_ERRORS.busy, `the audit log takes ${MOST_PER_HOUR} entries an hour of ${user}`);
    }
    made.entries++;
    this.#made.set(user, made);
  }

  /** Newest first; `before`: the `next` of an earlier page. */
  async page(search: AuditSearch & { before?: string | undefined }): Promise<{ entries: AuditEntry[]; next?: string }> {
    const { since, until, before } = search;
    const bounds = [before, until === undefined ? undefined : queueIdFloor(until + 1)].filter((b) => b !== undefined);
    const lt = bounds.length === 0 ? END : PREFIX + bounds.toSorted()[0];
    const range = { gte: PREFIX + (since === undefined ? '' : queueIdFloor(since - SPAN_MS)), lt, reverse: true };
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
  const until = Math.max(entry.at, before.until ?? before.at);
  if (entry.at - (before.until ?? before.at) > ALIKE_MS || until - before.at > SPAN_MS) return entry;
  return { ...before, times: (before.times ?? 1) + 1, until };
}

function fits({ at, until = at, by, about, service, operation }: AuditEntry, search: AuditSearch): boolean {
  if (until < (search.since ?? until)) return false;
  const has = (text: string, part: string | undefined): boolean =>
    part === undefined || text.toLowerCase().includes(part.toLowerCase());
  return has(by, search.by) && has(`${service} ${operation} ${about}`, search.about);
}
