import { ANNOUNCE_MS } from '#cluster/members/announce.ts';
import { Heard } from '#cluster/members/heard.ts';
import { type Present, routerContract } from '#services/router/contract.ts';
import type { Calls, Hears } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { OpenTransfer } from './router-transfer.ts';

/**
 * Which router gets a message: that of this process or node, else one of another node by its load, as routers announce it
 * every second. A router that says that it takes no mail, or was not heard lately, is skipped. That decides nothing but
 * the order in which routers are asked: where the chosen one does not take the message, the next is asked, and in the end
 * any that answers, because what was heard may be old, and a router that was never heard may be there.
 *
 * The router of this node may not have been heard yet when the first mail comes: until it had the time to announce itself it
 * is asked all the same, so that the mail stays on this node.
 *
 * A router, as a listener knows it: (it announces itself) known → (silent for `FRESH_MS`, or it did not take a message)
 * skipped → (it announces itself again) known.
 */

/** How long an announcement counts, in milliseconds. */
const FRESH_MS = 3000;
/** How long after the start the router of this node is asked although it was not heard. */
const UNHEARD_MS = 2 * ANNOUNCE_MS;
/** How long a chosen router may take to open a transfer, in milliseconds: there are others to ask. */
const OPEN_MS = 2000;
/** Routers that one message is offered to by name. */
const MOST_OFFERS = 3;
/** Routers that are known at most. */
const MOST_ROUTERS = 256;

/** Errors that say that nothing was kept, and nothing about the message: another router may take it. */
const ELSEWHERE = new Set<string | undefined>([
  ...routerContract.operations['transfer-open'].elsewhere,
  CALL_ERRORS.unavailable,
  CALL_ERRORS.busy,
  CALL_ERRORS.timeout,
]);

/** `placed`: messages that went there since it announced itself. */
type Router = { present: Present; placed: number };
type Open = Calls<'listener', 'router'>['transfer-open'];

export class Placement {
  readonly #node: string;
  readonly #open: Open;
  readonly #started = performance.now();
  readonly #routers = new Heard<Router>({ liveMs: FRESH_MS, most: MOST_ROUTERS });

  /** `node`: this one. */
  constructor(node: string, open: Open) {
    this.#node = node;
    this.#open = open;
  }

  /** Hear the routers. Returns how to stop. */
  start(onRouters: Hears<'listener', 'router'>): () => void {
    return onRouters('present', (present) => this.hear(present));
  }

  hear(present: Present): void {
    // Where all that fit are live, a newcomer takes nobody's place.
    const isNew = this.#routers.get(present.node) === undefined;
    if (isNew && this.#routers.live().length >= MOST_ROUTERS) return;
    this.#routers.hear(present.node, { present, placed: 0 });
  }

  /** Begin a transfer. Rejects as `router.open` does, when no router takes the message. */
  async open(request: Parameters<Open>[0], options: { trace: string }): Promise<OpenTransfer> {
    const offered: string[] = [];
    let refusal: unknown;
    for (;;) {
      const node = offered.length < MOST_OFFERS ? this.#choose(offered) : undefined;
      try {
        const opened = await this.#open(request, node === undefined ? options : { ...options, node, timeout: OPEN_MS });
        const router = this.#routers.get(opened.node);
        if (router !== undefined) router.said.placed++;
        return opened;
      } catch (error) {
        if (node === undefined) throw refusal ?? error;
        if (!ELSEWHERE.has(errorCode(error))) throw error;
        refusal ??= error;
        offered.push(node);
        this.#routers.forget(node);
      }
    }
  }

  /** This node's router, else the less loaded of two others at random; undefined where none is known. */
  #choose(offered: readonly string[]): string | undefined {
    const isOpen = ({ present }: Router): boolean => present.refusing === undefined && !offered.includes(present.node);
    const own = this.#routers.get(this.#node);
    if (own?.live && isOpen(own.said)) return this.#node;
    const others = this.#routers.live().flatMap(({ said }) => (isOpen(said) ? [said] : []));
    const isUnheard = own === undefined && performance.now() < this.#started + UNHEARD_MS;
    if (isUnheard && others.length > 0 && !offered.includes(this.#node)) return this.#node;
    // Listeners that always take the least loaded one would all send everything of a second to it.
    const first = others.splice(Math.floor(Math.random() * others.length), 1)[0];
    const second = others[Math.floor(Math.random() * others.length)];
    if (first === undefined || second === undefined) return first?.present.node;
    return (load(first) <= load(second) ? first : second).present.node;
  }
}

/** Messages in its queue, with those that went there since it announced that. */
const load = ({ present, placed }: Router): number => present.queued + placed;
