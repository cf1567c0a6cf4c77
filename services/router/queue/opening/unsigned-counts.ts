/** Messages that left without a signature, counted by domain and reason. */
export type Unsigned = { domain: string; reason: string; count: number };

/** Senders choose domains, and reasons may name single messages: beyond these numbers they are counted together. */
const MOST_DOMAINS = 200;
const MOST_REASONS = 5;
const OTHER = 'other';

export class UnsignedCounts {
  readonly #domains = new Map<string, Map<string, number>>();

  count(domain: string, reason: string): void {
    const known = this.#domains.has(domain) || this.#domains.size < MOST_DOMAINS ? domain : OTHER;
    const reasons = this.#domains.get(known) ?? new Map<string, number>();
    const why = reasons.has(reason) || reasons.size < MOST_REASONS ? reason : OTHER;
    this.#domains.set(known, reasons.set(why, (reasons.get(why) ?? 0) + 1));
  }

  /** Most messages first. */
  all(): Unsigned[] {
    const all = [...this.#domains].flatMap(([domain, reasons]) =>
      [...reasons].map(([reason, count]) => ({ domain, reason, count })),
    );
    return all.sort((a, b) => b.count - a.count);
  }
}
