import { BoundedMap } from '#shared/bounded-map.ts';

/**
 * Domains that mail was routed to lately. A domain that exists today and not tomorrow is most often a fault that passes: a
 * registration not renewed in time, a zone that failed to load. So the absence of such a domain is believed only after it
 * has lasted a while. Times are of the monotonic clock.
 */

const MOST = 10_000;
const LATELY_MS = 7 * 86_400_000;

export class RecentDomains {
  /** `missing`: since when it is absent. */
  readonly #known = new BoundedMap<string, { answered: number; missing: number | undefined }>(MOST);

  /** The domain has mail exchangers. */
  answered(domain: string): void {
    this.#known.set(domain, { answered: performance.now(), missing: undefined });
  }

  /** DNS says that the domain is not there: whether to believe it, when that has lasted for `patienceMs`. */
  isGone(domain: string, patienceMs: number): boolean {
    const known = this.#known.get(domain);
    const now = performance.now();
    if (known === undefined || now - known.answered > LATELY_MS) return true;
    known.missing ??= now;
    return now - known.missing >= patienceMs;
  }
}
