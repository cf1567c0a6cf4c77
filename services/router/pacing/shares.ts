import { AnnounceLoop } from '#cluster/members/announce.ts';
import { LivePeers, type PeerBus } from '#cluster/members/peers.ts';
import type { EventPayload } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import { MOST_DEMAND_LINES, type RouterContract } from '../contract.ts';

/**
 * This router's share of each limit that the cluster has for a destination: a fraction between 0 and 1.
 *
 * No router hands shares out. Each announces every second, for each limited destination that it has work for, which part
 * of the limit it could use (`want`) and which part it takes at most (`share`), and each computes its own share from the
 * wants of all: small wants are met, the others get equal parts, and what nobody wants is spread evenly over all
 * (`allot`). From the same announcements all compute the same, and the sum is 1.
 *
 * The announcements arrive one after the other, and the sum holds in between too: a share shrinks immediately and is
 * announced soon; it grows only into what the shares of the others, as last heard, leave free. So when a router joins, or
 * gets work, the others have shrunk before it sends. A router that finds no room for `PATIENCE_MS` takes its part all the
 * same: its announcements reach nobody then, or those of the others do not reach it, and with a share of 0
 * no mail would leave.
 *
 * Which routers count is in cluster/members/peers.ts. When a router dies, the others use what it leaves as soon as it is
 * not live any more: until then the cluster sends less than the limit. When one is cut off, it keeps to its equal part,
 * while the others, which cannot tell it from a dead one, use all of the limit: together they send at most 1 + 1/n of it
 * (n routers) as long as that lasts.
 */

type Demand = EventPayload<RouterContract, 'demand'>;
type Said = { more: boolean; lines: Map<string, Line> };
type Line = { want: number; share: number };
type Own = Line & {
  /** The part that is in use though it may be above the share: connections end in their own time. */
  used: number;
  /** Since when the others leave less than the part of this router. */
  shortSince: number | undefined;
};

export type DemandBus = PeerBus<RouterContract, 'demand'>;

/** How long a router waits for the others to make room. */
const PATIENCE_MS = 4000;
/** A change is announced no sooner after the last announcement. */
const SOON_MS = 50;
/** Shares are announced with four digits: a difference below this does not matter. */
const EPSILON = 0.002;

export type SharesDeps = {
  node: string;
  /** Undefined: this router is the only one. */
  peers: DemandBus | undefined;
  /** Shares may have changed by what others said. */
  onChange: () => void;
  /** Milliseconds of a clock that never jumps. */
  clock?: () => number;
};

const NOTHING: Line = { want: 0, share: 0 };
/** A router that has work for more destinations than it names. */
const ANYTHING: Line = { want: 1, share: 0 };

export class Shares {
  readonly #deps: SharesDeps;
  readonly #peers: LivePeers<Said>;
  readonly #loop = new AnnounceLoop(() => this.#say(false));
  readonly #instance = newId();
  readonly #clock: () => number;
  readonly #own = new Map<string, Own>();
  #stopHearing: (() => void) | undefined;
  #told = Number.NEGATIVE_INFINITY;

  constructor(deps: SharesDeps) {
    const { peers, clock = () => performance.now() } = deps;
    this.#deps = deps;
    this.#clock = clock;
    this.#peers = new LivePeers({ bus: peers, clock });
  }

  /** Hear the others. The caller brings the wants up to date each second, then calls `tell`. */
  start(): void {
    const { peers, onChange } = this.#deps;
    this.#stopHearing = peers?.hear('demand', (demand) => {
      if (demand.instance === this.#instance) return;
      this.#hear(demand);
      onChange();
    });
  }

  /** Say which part of a limit there is work for, and which part is in use. */
  want(key: string, want: number, used = 0): void {
    const own = this.#ownOf(key);
    const begins = own.want === 0 && want > 0;
    own.want = Math.min(1, want);
    own.used = used;
    this.#update(key, own);
    // The others have to make room, and to hear that first.
    if (begins && own.shortSince !== undefined) this.#tellSoon();
  }

  /** The share of a limit right now. */
  share(key: string): number {
    return this.#update(key, this.#ownOf(key));
  }

  /** Forget a limit. */
  forget(key: string): void {
    this.#own.delete(key);
  }

  /** Announce what is wanted and taken: each second, also where that is nothing. */
  tell(): void {
    this.#loop.now();
  }

  /** Say goodbye: the share of this router is free. */
  stop(): void {
    this.#stopHearing?.();
    this.#loop.stop(() => this.#say(true));
  }

  #say(leaving: boolean): void {
    const { node, peers } = this.#deps;
    if (peers === undefined) return;
    this.#peers.look();
    this.#told = this.#clock();
    const lines: Demand['lines'] = [];
    let more = false;
    for (const [key, { want, share, used }] of this.#own) {
      if (want === 0 && used === 0) continue;
      if (lines.length < MOST_DEMAND_LINES) lines.push([key, round(want), round(Math.max(share, used))]);
      else more = true;
    }
    peers.announce('demand', { node, instance: this.#instance, leaving, more, lines });
  }

  #hear({ node, leaving, more, lines }: Demand): void {
    if (leaving) {
      this.#peers.leave(node);
      return;
    }
    const said: Said = { more, lines: new Map(lines.map(([key, want, share]) => [key, { want, share }])) };
    // A newcomer knows no other router, and sends nothing before it does.
    if (this.#peers.hear(node, said)) this.#tellSoon();
    for (const [key, own] of this.#own) {
      const before = own.share;
      this.#update(key, own);
      if (own.share < before && own.want > 0) this.#tellSoon();
    }
  }

  #ownOf(key: string): Own {
    let own = this.#own.get(key);
    if (own === undefined) {
      own = { want: 0, share: 0, used: 0, shortSince: undefined };
      this.#own.set(key, own);
    }
    return own;
  }

  #update(key: string, own: Own): number {
    const standing = this.#peers.standing;
    if (standing.kind === 'listening') return own.share;
    if (standing.kind !== 'together') {
      own.shortSince = undefined;
      own.share = standing.kind === 'alone' ? 1 : 1 / standing.of;
      return own.share;
    }
    const others = standing.others.map(({ more, lines }) => lines.get(key) ?? (more ? ANYTHING : NOTHING));
    const target = allot(
      own.want,
      others.map(({ want }) => want),
    );
    const room = 1 - others.reduce((sum, { share }) => sum + share, 0);
    if (target <= own.share || room >= target - EPSILON) {
      own.shortSince = undefined;
      own.share = target;
      return target;
    }
    own.share = Math.max(own.share, room);
    own.shortSince = own.want === 0 ? undefined : (own.shortSince ?? this.#clock());
    if (own.shortSince !== undefined && this.#clock() - own.shortSince > PATIENCE_MS) own.share = target;
    return own.share;
  }

  #tellSoon(): void {
    this.#loop.within(Math.max(0, this.#told + SOON_MS - this.#clock()));
  }
}

/**
 * The part of one router that wants `own` of 1, beside others with their wants: each gets what it wants as long as none
 * gets more than an equal part because of it (max-min fairness); what is left over then is spread evenly.
 */
export function allot(own: number, others: readonly number[]): number {
  const wants = [own, ...others].toSorted((a, b) => a - b);
  let rest = 1;
  for (const [i, want] of wants.entries()) {
    const equal = rest / (wants.length - i);
    if (want >= equal) return Math.min(own, equal);
    rest -= want;
  }
  return own + rest / wants.length;
}

function round(part: number): number {
  return Math.round(part * 10_000) / 10_000;
}
