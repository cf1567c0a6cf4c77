import type { History } from '../../schemas/overview.ts';
import type { NodeRates } from './rates.ts';

/** Mail of the last ten minutes: a row for each moment that was looked at. */

const KEEP_MS = 600_000;

type Row = { at: number; flow: NodeRates };

export class Minutes {
  #rows: Row[] = [];

  /** `at`: ms since 1970; a clock that was set back begins anew. */
  add(at: number, flow: NodeRates): void {
    const last = this.#rows.at(-1)?.at ?? at;
    const kept = last > at ? [] : this.#rows;
    const first = kept.findIndex((row) => at - row.at <= KEEP_MS);
    this.#rows = [...(first === -1 ? [] : kept.slice(first)), { at, flow }];
  }

  history(): History {
    const column = (value: (flow: NodeRates) => number | undefined): (number | null)[] =>
      this.#rows.map(({ flow }) => value(flow) ?? null);
    return {
      at: this.#rows.map(({ at }) => at),
      accepted: column(({ rates }) => rates.accepted),
      refused: column(({ rates }) => rates.refused),
      putOff: column(({ rates }) => rates.putOff),
      delivered: column(({ rates }) => rates.delivered),
      sent: column(({ rates }) => rates.sent),
      deferred: column(({ rates }) => rates.deferred),
      failed: column(({ rates }) => rates.failed),
      signed: column(({ signed }) => signed),
      encrypted: column(({ encrypted }) => encrypted),
    };
  }
}
