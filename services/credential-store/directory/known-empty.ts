import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import type { Presence } from '../presence.ts';

/**
 * Whether a node that has no entry knows that there is none. A node that was cut off since it was made, or lost its disk,
 * does not: policy then defers what it would otherwise accept or refuse for good.
 *
 * It knows once it has followed the stream; and where JetStream is not there, or has no such stream, once it has heard the
 * other nodes for a while and no live one has an entry. That is remembered on disk, so that a cluster without a directory
 * works after a restart without NATS too.
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

  /** Look at what the others say; to be called repeatedly. `node` is this one, which hears itself where it hears anybody. */
  listen(node: string, presence: Pick<Presence, 'settled' | 'live'>): void {
    if (this.isKnown || !presence.settled) return;
    const stores = presence.live().filter(({ kind }) => kind === 'credential-store');
    if (!stores.some((store) => store.node === node) || stores.some(({ directory = 0 }) => directory > 0)) return;
    this.#marked = true;
    // Without the mark on disk the next start has to listen again.
    this.#store.write([{ type: 'put', key: MARK, value: Buffer.from('1') }]).catch(() => undefined);
  }
}
