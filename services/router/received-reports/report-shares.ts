/**
 * How much the reports of this node take, in memory, so that a new one costs no scan. Anybody can send reports; so those in
 * mail that passed DMARC have a share, and all others a smaller one of their own, which takes nothing from the first.
 */

export type Share = 'proven' | 'unproven';
export type ShareLimits = Record<Share, { reports: number; bytes: number }>;

/** Some years of the reports of a large organisation, and little beside the mail on the same disk. */
export const SHARE_LIMITS: ShareLimits = {
  proven: { reports: 40_000, bytes: 400e6 },
  unproven: { reports: 10_000, bytes: 100e6 },
};

export type Size = { bytes: number; parts: number };

export class ReportShares {
  readonly #limits: ShareLimits;
  /** The oldest first. */
  readonly #kept: Record<Share, Map<string, Size>> = { proven: new Map(), unproven: new Map() };
  readonly #bytes: Record<Share, number> = { proven: 0, unproven: 0 };

  constructor(limits: ShareLimits) {
    this.#limits = limits;
  }

  /** It is the newest of its share now, and in no other. */
  add(share: Share, key: string, size: Size): void {
    this.remove(key);
    this.#kept[share].set(key, size);
    this.#bytes[share] += size.bytes;
  }

  remove(key: string): void {
    for (const share of ['proven', 'unproven'] as const) {
      const size = this.#kept[share].get(key);
      if (size === undefined) continue;
      this.#kept[share].delete(key);
      this.#bytes[share] -= size.bytes;
    }
  }

  /** The oldest of a share that must go before one of `bytes` comes, at most `most` of them; `except` is to be replaced. */
  surplus(share: Share, bytes: number, most: number, except: string): [string, Size][] {
    const limit = this.#limits[share];
    const replaced = this.#kept[share].get(except);
    let left = this.#kept[share].size - (replaced === undefined ? 0 : 1);
    let held = this.#bytes[share] - (replaced?.bytes ?? 0);
    const oldest: [string, Size][] = [];
    for (const entry of this.#kept[share]) {
      if (oldest.length >= most || (left < limit.reports && held + bytes <= limit.bytes)) break;
      if (entry[0] === except) continue;
      oldest.push(entry);
      left--;
      held -= entry[1].bytes;
    }
    return oldest;
  }
}
