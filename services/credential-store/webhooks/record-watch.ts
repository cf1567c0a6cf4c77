import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import type { Webhooks } from '#cluster/webhooks/webhooks.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { EVENT_TYPES, type WebhookEvent } from '#shared/webhooks/events.ts';
import { certificateOfKey } from '../records/certificate-record.ts';
import { type CredentialRecord, domainOfKey } from '../records/domain-record.ts';
import { eventsOf, Told, toldOf } from './record-events.ts';

/**
 * Tells webhooks of changes of keys and certificates, once for the whole cluster.
 *
 *   webhook-told            webhooks are told of changes since this was written
 *   webhook-told!<record>   what they were told of a record (record-events.ts)
 *
 * Every credential-store sees every change, and makes the same events of it, with the same ids. An event, as one store sees it:
 *
 *   held     it was made, and is in memory: what is on disk of its record is from before.
 *   → told   this store is the first, the eldest of those that are live: it writes the event into its outbox, together with
 *            what webhooks were told.
 *   → left   another store is the first, and has been for so long since that it has written the event, or it would not be
 *            live any more, or behind. What webhooks were told is written here too.
 *
 * So an event is lost only with the disk of the first; where a store dies before it has written what it saw, or soon after, the
 * next one does so. After a restart what is on disk is compared with the records again: what is new is held. Where that happens beside another
 * one, two nodes may send an event; it has the same id then.
 */

const TICK_MS = 1000;
/** Much longer than others take to see that a process is dead (presence.ts). */
const LEFT_MS = 15_000;
/** Between two looks at which certificates are about to end. */
const LOOK_MS = 60_000;
const MARK = 'webhook-told';
const PREFIX = `${MARK}!`;
const END = `${MARK}"`;

/** Whether this process is the first; undefined: it cannot be told now. */
export type Turn = () => 'mine' | 'other' | undefined;

export type RecordWatchDeps = {
  store: Store;
  settings: Settings;
  log: Logger;
  map: Pick<ReplicatedMap<CredentialRecord>, 'get' | 'entries' | 'timeOf' | 'onChange'>;
  webhooks: Pick<Webhooks, 'wants' | 'prepare'>;
  turn: Turn;
  /** In place of the usual time. */
  leftMs?: number;
};

/** `at`: by `performance.now`. */
type Held = { key: string; events: WebhookEvent[]; told: Told | undefined; at: number };

const WATCHED = EVENT_TYPES.filter((type) => /^(?:key|rotation|certificate)\./.test(type));

export class RecordWatch {
  readonly #deps: RecordWatchDeps;
  /** What webhooks were told, once all that is held is told. */
  readonly #told = new Map<string, Told>();
  #held: Held[] = [];
  /** `MARK` is on disk, or about to be. */
  #begun = false;
  readonly #undo = new DisposableStack();

  private constructor(deps: RecordWatchDeps) {
    this.#deps = deps;
  }

  /** Rejects with `store-failed`. */
  static async open(deps: RecordWatchDeps): Promise<RecordWatch> {
    const watch = new RecordWatch(deps);
    await watch.#load();
    watch.#follow();
    const { map, settings } = deps;
    watch.#undo.defer(map.onChange((keys) => watch.#look(keys)));
    watch.#undo.defer(settings.onChange(() => watch.#follow()));
    const ticking = setInterval(() => watch.#settle(), TICK_MS).unref();
    const looking = setInterval(() => watch.#look(map.entries().map(({ key }) => key)), LOOK_MS).unref();
    watch.#undo.defer(() => clearInterval(ticking));
    watch.#undo.defer(() => clearInterval(looking));
    return watch;
  }

  close(): void {
    this.#undo.dispose();
  }

  async #load(): Promise<void> {
    const { store, log } = this.#deps;
    this.#begun = (await store.get(MARK)) !== undefined;
    for await (const [key, value] of store.entries({ gte: PREFIX, lt: END })) {
      try {
        this.#told.set(key.slice(PREFIX.length), Told.parse(JSON.parse(value.toString())));
      } catch (error) {
        log.warn({ key, error: errorText(error) }, 'what webhooks were told of a record cannot be read');
      }
    }
  }

  /** Begin or end with the configuration: of what was before the beginning webhooks are told nothing. */
  #follow(): void {
    const { map, webhooks } = this.#deps;
    const wanted = WATCHED.some((type) => webhooks.wants(type));
    if (wanted && this.#begun) this.#look([...map.entries().map(({ key }) => key), ...this.#told.keys()]);
    if (wanted === this.#begun) return;
    this.#begun = wanted;
    this.#held = [];
    const before = [...this.#told.keys()];
    this.#told.clear();
    if (!wanted) {
      this.#write([{ type: 'del', key: MARK }, ...before.map((key) => putTold(key, undefined))]);
      return;
    }
    for (const { key, value } of map.entries()) {
      const told = toldOf(value, Date.now());
      if (told !== undefined) this.#told.set(key, told);
    }
    const all = [...this.#told].map(([key, told]) => putTold(key, told));
    this.#write([{ type: 'put', key: MARK, value: Buffer.from('1') }, ...all]);
  }

  /** Make the events of what has changed. */
  #look(keys: readonly string[]): void {
    if (!this.#begun) return;
    for (const key of new Set(keys)) {
      const name = domainOfKey(key) ?? certificateOfKey(key);
      if (name !== undefined) this.#lookAt(key, name);
    }
    this.#settle();
  }

  #lookAt(key: string, name: string): void {
    const { map, log } = this.#deps;
    const before = this.#told.get(key);
    const record = map.get(key)?.value;
    const now = Date.now();
    try {
      const at = Date.parse(map.timeOf(key) ?? '') || now;
      const events = eventsOf(before, name, record, { at, now });
      const told = record && toldOf(record, now);
      if (events.length === 0 && JSON.stringify(told) === JSON.stringify(before)) return;
      if (told === undefined) this.#told.delete(key);
      else this.#told.set(key, told);
      this.#held.push({ key, events, told, at: performance.now() });
    } catch (error) {
      log.warn(
        { record: key, error: errorText(error) },
        'webhooks are not told of a change: its record cannot be read',
      );
    }
  }

  /** Tell what is held, or leave it to another store. */
  #settle(): void {
    if (this.#held.length === 0) return;
    const turn = this.#deps.turn();
    if (turn === undefined) return;
    const until = performance.now() - (this.#deps.leftMs ?? LEFT_MS);
    const isOver = ({ at }: Held): boolean => turn === 'mine' || at <= until;
    const over = this.#held.filter(isOver);
    this.#held = this.#held.filter((held) => !isOver(held));
    for (const { key, told, events } of over) {
      const prepared = this.#deps.webhooks.prepare(turn === 'mine' ? events : []);
      this.#write([...prepared.operations, putTold(key, told)], () => prepared.written());
    }
  }

  #write(operations: StoreOperation[], then: () => void = () => undefined): void {
    // Where it is closed before, the next start sees the same change.
    this.#deps.store.persist(operations).then(then, () => undefined);
  }
}

function putTold(key: string, told: Told | undefined): StoreOperation {
  if (told === undefined) return { type: 'del', key: PREFIX + key };
  return { type: 'put', key: PREFIX + key, value: Buffer.from(JSON.stringify(told)) };
}
