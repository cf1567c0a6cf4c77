import { reasonText } from '#shared/errors.ts';
import type { FilterRun } from './filter-run.ts';
import { type Answered, GIVEN_UP, type Outcome, outcomeOf } from './outcome.ts';

/**
 * One message in front of all filters that are to see it, at the same time.
 *
 * States:
 * - `gathering`: the first bytes are kept, so that a client that sends slowly, or nothing more, does not occupy a filter, and
 *   a small message is shown at a stroke. GATHERED bytes, or the end → `showing`
 * - `showing`: every byte goes to each filter. The slowest one sets the pace: `ready` is false until it has room
 * - `over`: the outcome is known, or nobody wants it
 */

/** Bytes that are kept before any filter is opened. */
const GATHERED = 64 * 1024;

export type ScreeningHooks = {
  /** What each filter said; not called where the message was given up. */
  answered(answers: readonly Answered[]): void;
  /** It needs nothing any more. */
  over(): void;
};

export class Screening {
  readonly #runs: readonly FilterRun[];
  readonly #hooks: ScreeningHooks;
  #gathered: Buffer | undefined = Buffer.alloc(0);
  #used = 0;
  #aborted = false;
  #resume: (() => void) | undefined;

  constructor(runs: readonly FilterRun[], hooks: ScreeningHooks) {
    this.#runs = runs;
    this.#hooks = hooks;
  }

  get ready(): boolean {
    return this.#runs.every((run) => run.ready);
  }

  /** `resume` is called once, when `ready` is true again. */
  onReady(resume: () => void): void {
    this.#resume = resume;
    const again = (): void => {
      if (this.#resume === undefined || !this.ready) return;
      this.#resume = undefined;
      resume();
    };
    for (const run of this.#runs) run.onReady = run.ready ? undefined : again;
  }

  /** Show the next bytes; views of them may be kept, but those of the beginning are copied. */
  write(piece: Buffer): void {
    if (this.#gathered === undefined) {
      this.#show(piece);
    } else if (this.#used + piece.length > GATHERED) {
      this.#showGathered();
      this.#show(piece);
    } else {
      this.#gather(this.#gathered, piece);
    }
  }

  /** That was all. Never rejects. */
  async finish(): Promise<Outcome> {
    this.#showGathered();
    const answers = await Promise.all(
      this.#runs.map(async (run): Promise<Answered> => {
        const { config } = run;
        try {
          return { config, result: await run.finish() };
        } catch (error) {
          return { config, error: reasonText(error) };
        }
      }),
    );
    this.#hooks.over();
    // Without a verdict, whatever on-trouble says: the filters are not to blame.
    if (this.#aborted) return GIVEN_UP;
    this.#hooks.answered(answers);
    return outcomeOf(answers);
  }

  /** The message is refused, or its client is gone. */
  abort(): void {
    this.#aborted = true;
    this.#gathered = undefined;
    for (const run of this.#runs) run.abort();
    this.#hooks.over();
  }

  #gather(gathered: Buffer, piece: Buffer): void {
    let buffer = gathered;
    if (this.#used + piece.length > buffer.length) {
      buffer = Buffer.allocUnsafeSlow(Math.min(GATHERED, Math.max(this.#used + piece.length, 2 * buffer.length)));
      gathered.copy(buffer, 0, 0, this.#used);
      this.#gathered = buffer;
    }
    piece.copy(buffer, this.#used);
    this.#used += piece.length;
  }

  #showGathered(): void {
    const gathered = this.#gathered?.subarray(0, this.#used);
    this.#gathered = undefined;
    if (gathered !== undefined && gathered.length > 0) this.#show(gathered);
  }

  #show(piece: Buffer): void {
    for (const run of this.#runs) run.write(piece);
  }
}
