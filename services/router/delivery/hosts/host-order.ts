import { Unreachable } from '../channel.ts';
import type { Credentials } from '../smtp/auth.ts';
import { type Attempt, Ladder, type LadderDeps } from '../tls-policy/ladder.ts';
import type { Target } from '../tls-policy/wanted.ts';

/**
 * In which order the hosts of a destination are tried: those that failed a moment ago after all others, else as they are
 * listed. The hosts of a list are looked up when their turn comes, so that mail does not wait for a name that it does not
 * need; one whose name cannot be looked up comes last for a while too.
 */

/** Where targets come from: the MX records of a domain, or a host that a route names, and how to speak with them. */
export type TargetSource = {
  /** The best first. Rejects with `Unreachable`. */
  targets: () => Promise<Target[]>;
  tls: LadderDeps;
  credentials: Credentials | undefined;
};

/** A source, and the steps with its hosts. */
export type Source = TargetSource & { ladder: Ladder };
export type Step = { source: Source; attempt: Attempt };

/** How long a host that failed is tried after the others. */
const SHUN_MS = 60_000;

export class HostOrder {
  readonly #sources: readonly Source[];
  /** Until when (`performance.now`) others come first, so that not every connection waits for the time-out of a dead host. */
  readonly #shunned = new Map<string | Source, number>();

  constructor(sources: readonly TargetSource[]) {
    this.#sources = sources.map((source) => ({ ...source, ladder: new Ladder(source.tls) }));
  }

  /** The first step with each target, then the `further` ones of the ladders, which are added meanwhile. */
  async *steps(
    tried: ReadonlySet<string>,
    further: readonly Step[],
    onUnfound: (reason: Unreachable) => void,
  ): AsyncGenerator<Step> {
    for await (const { source, target } of this.targets(tried, onUnfound))
      yield { source, attempt: source.ladder.first(target) };
    yield* further;
  }

  /**
   * Targets that are not among those `tried`. Where a host of several cannot be found, `onUnfound` hears of it and the others
   * follow; where it is the only one, this rejects with `Unreachable`.
   */
  async *targets(
    tried: ReadonlySet<string>,
    onUnfound: (reason: Unreachable) => void,
  ): AsyncGenerator<{ source: Source; target: Target }> {
    const now = performance.now();
    for (const [key, until] of this.#shunned) if (until <= now) this.#shunned.delete(key);
    // As it is now: a host with two names at one address is tried by the second one too, whatever becomes of the first.
    const shunned = new Set(this.#shunned.keys());
    const before = new Set(tried);
    const rank = (source: Source): number => (shunned.has(source) ? 1 : 0);
    const last: { source: Source; target: Target }[] = [];
    for (const source of this.#sources.toSorted((a, b) => rank(a) - rank(b))) {
      for (const target of await this.#find(source, onUnfound)) {
        if (before.has(keyOf(target))) continue;
        if (shunned.has(keyOf(target))) last.push({ source, target });
        else yield { source, target };
      }
    }
    yield* last;
  }

  shun(target: Target): void {
    this.#shunned.set(keyOf(target), performance.now() + SHUN_MS);
  }

  noteGood(target: Target): void {
    this.#shunned.delete(keyOf(target));
  }

  async #find(source: Source, onUnfound: (reason: Unreachable) => void): Promise<Target[]> {
    try {
      const found = await source.targets();
      this.#shunned.delete(source);
      return found;
    } catch (error) {
      if (!(error instanceof Unreachable) || this.#sources.length === 1) throw error;
      this.#shunned.set(source, performance.now() + SHUN_MS);
      onUnfound(error);
      return [];
    }
  }
}

/** Tells targets apart: an address may have servers at several ports, and one server may know us by several names. */
export function keyOf({ address, port, account = '' }: Target): string {
  return `${account}@${address}:${port}`;
}
