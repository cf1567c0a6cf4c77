import { type Present, routerContract } from '#services/router/contract.ts';
import type { Calls, Hears } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { Opened } from './router-transfer.ts';

/**
 * Which router gets a message: that of the own process or node, else one of another node by its load, as routers
 * announce it every second. One that says that it takes no mail, or was not heard lately, is passed over. Where the
 * chosen one does not take the message after all, the next is asked, and at last whoever answers: what was heard may be
 * old, and who was never heard may be there.
 *
 * A router as it is known here: (it announces itself) known → (silent for `FRESH_MS`, or it did not take a message)
 * passed over → (it announces itself again) known.
 */

/** How long an announcement counts, in milliseconds. */
const FRESH_MS = 3000;
/** How long a chosen router may take to begin a transfer, in milliseconds: there are others to ask. */
const OPEN_MS = 2000;
/** Routers that one message is offered to by name. */
const MOST_OFFERS = 3;
/** Routers that are kept. */
const MOST_ROUTERS = 256;

/** What says that nothing was kept, and nothing about the message: another router may take it. */
const ELSEWHERE = new Set<string | undefined>([
  ...routerContract.operations['transfer-open'].elsewhere,
  CALL_ERRORS.unavailable,
  CALL_ERRORS.busy,
  CALL_ERRORS.timeout,
]);

type Router = { present: Present; at: number; placed: number };
type Open = Calls<'listener', 'router'>['transfer-open'];

export class Placement {
  readonly #node: string;
  readonly #open: Open;
  readonly #routers = new Map<string, Router>();

  /** `node`: the own one. */
  constructor(node: string, open: Open) {
    this.#node = node;
    this.#open = open;
  }

  /** Hear the routers. Returns the way to stop. */
  start(onRouters: Hears<'listener', 'router'>): () => void {
    return onRouters('present', (present) => this.hear(present));
  }

  hear(present: Present): void {
    if (!this.#routers.has(present.node) && this.#routers.size >= MOST_ROUTERS) this.#dropSilent();
    if (this.#routers.size < MOST_ROUTERS) {
      this.#routers.set(present.node, { present, at: performance.now(), placed: 0 });
    }
  }

  /** Begin a transfer. Rejects as `router.open` does, when no router takes the message. */
  async open(request: Parameters<Open>[0], options: { trace: string }): Promise<Opened> {
    const offered: string[] = [];
    let refusal: unknown;
    for (;;) {
      const node = offered.length < MOST_OFFERS ? this.#choose(offered) : undefined;
      try {
        const opened = await this.#open(request, node === undefined ? options : { ...options, node, timeout: OPEN_MS });
        const router = this.#routers.get(opened.node);
        if (router !== undefined) router.placed++;
        return opened;
      } catch (error) {
        if (node === undefined) throw refusal ?? error;
        if (!ELSEWHERE.has(errorCode(error))) throw error;
        refusal ??= error;
        offered.push(node);
        this.#routers.delete(node);
      }
    }
  }

  /** The own node's router, else the less loaded of two others at random; undefined where none is known. */
  #choose(offered: readonly string[]): string | undefined {
    const now = performance.now();
    const own = this.#routers.get(this.#node);
    const open = (router: Router): boolean => takesMail(router, now) && !offered.includes(router.present.node);
    if (own !== undefined && open(own)) return this.#node;
    const others = [...this.#routers.values()].filter(open);
    // Whoever takes always the least loaded sends everything of a second to the same one, as all others do.
    const first = others.splice(Math.floor(Math.random() * others.length), 1)[0];
    const second = others[Math.floor(Math.random() * others.length)];
    if (first === undefined || second === undefined) return first?.present.node;
    return (load(first) <= load(second) ? first : second).present.node;
  }

  #dropSilent(): void {
    const now = performance.now();
    for (const [node, router] of this.#routers) if (now - router.at > FRESH_MS) this.#routers.delete(node);
  }
}

const takesMail = ({ present, at }: Router, now: number): boolean =>
  present.refusing === undefined && now - at <= FRESH_MS;

/** Messages there, with those that went there since it said so. */
const load = ({ present, placed }: Router): number => present.queued + placed;
