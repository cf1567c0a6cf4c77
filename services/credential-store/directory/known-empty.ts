import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import type { Presence } from '../presence.ts';

/**
 * Whether a node that has no entry knows that there is none. A node that was cut off since it was made, or lost its disk,
 * does not: policy then defers what it would otherwise accept or refuse for good.
 *
 * It knows once it has followed the stream; and where JetStream is not there, or has no such stream, once it has been
 * connected to NATS for a while and no live node has an entry. That is remembered on disk, so that a cluster without a
 * directory works after a restart without NATS too. Without a connection it learns nothing: what it announces itself it
 * hears all the same.
 */
const MARK = 'directory-known';

type Followed = Pick<ReplicatedMap<unknown>, 'revision' | 'state' | 'hasFollowed'>;

export class KnownEmpty {
  readonly #store: Store;
  readonly #map: Followed;
  #marked: boolean;

  private constructor(store: Store, map: Followed, marked: boolean) {
    this.#store = store;
    this.#map = map;
    this.#marked = marked;
  }

  static async open(store: Store, map: Followed): Promise<KnownEmpty> {
    return new KnownEmpty(store, map, (await store.get(MARK)) !== undefined);
  }

  /** Whether what the map holds is what there was when this node last knew. */
  get isKnown(): boolean {
    const { revision, state, hasFollowed } = this.#map;
    return this.#marked || revision > 0 || state !== 'away' || hasFollowed;
  }

  /** Look at what the others say; to be called repeatedly. `connected`: to NATS, for as long as `presence` listens. */
  listen(connected: boolean, presence: Pick<Presence, 'settled' | 'live'>): void {
    if (!connected || this.isKnown || !presence.settled) return;
    if (presence.live().some(({ directory = 0 }) => directory > 0)) return;
    this.#marked = true;
    // Without the mark on disk the next start has to listen again.
    this.#store.write([{ type: 'put', key: MARK, value: Buffer.from('1') }]).catch(() => undefined);
  }
}
