/**
 * Answers for as long as they hold. Memory: `MOST_ANSWERS` of them, and `MOST_BYTES` in all as `size` counts them; those
 * that were learned longest ago make room.
 */

type Kept<A> = { answer: A; size: number };

const MOST_ANSWERS = 10_000;
const MOST_BYTES = 16 * 1024 * 1024;

/** `expires`: by the clock of `performance.now()`. */
export class AnswerCache<A extends { expires: number }> {
  readonly #kept = new Map<string, Kept<A>>();
  #bytes = 0;

  get(key: string): A | undefined {
    const answer = this.#kept.get(key)?.answer;
    return answer !== undefined && answer.expires > performance.now() ? answer : undefined;
  }

  set(key: string, answer: A, size: number): void {
    this.#delete(key);
    this.#kept.set(key, { answer, size });
    this.#bytes += size;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_ANSWERS && this.#bytes <= MOST_BYTES) break;
      this.#delete(oldest);
    }
  }

  #delete(key: string): void {
    this.#bytes -= this.#kept.get(key)?.size ?? 0;
    this.#kept.delete(key);
  }
}
