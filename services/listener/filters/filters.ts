import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { comesFromOutside, type SessionFacts } from '#services/policy/contract.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { openClamd } from './clamd.ts';
import type { Filter, FilteredMail } from './filter.ts';
import { FilterRun } from './filter-run.ts';
import { openMilter } from './milter/milter.ts';
import type { Answered } from './outcome.ts';
import { pingFilter } from './ping.ts';
import { openRspamd } from './rspamd.ts';
import { Screening } from './screening.ts';

/**
 * The mail filters of this process (section `filters`): which of them see a message, and what is said in the log of those in
 * trouble. The listener shows them the message while it streams it to a router:
 *
 *   filters.ts → screening.ts (one message, all filters) → filter-run.ts (at one filter, within its limits) → rspamd.ts …
 *   verdicts → outcome.ts (what they come to) → header-changes.ts
 */

/** How each type is spoken to. */
const OPEN: Record<FilterConfig['type'], (config: FilterConfig, mail: FilteredMail) => Filter> = {
  rspamd: openRspamd,
  clamd: openClamd,
  milter: openMilter,
};

/** A filter as it was found; `error`: why it cannot be asked. */
export type FilterState = Pick<FilterConfig, 'name' | 'url'> & {
  onTrouble: FilterConfig['on-trouble'];
  error?: string | undefined;
};

export class Filters {
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #troubles = new LimitedLog();
  readonly #running = new Set<Screening>();
  #check: Promise<FilterState[]> | undefined;

  constructor({ settings, log }: { settings: Settings; log: Logger }) {
    this.#settings = settings;
    this.#log = log;
  }

  /** Those that see the mail of such a session. */
  of(facts: SessionFacts): FilterConfig[] {
    return this.#settings.current.filters.filter((config) => sees(config, facts));
  }

  /** For a message that is about to come; undefined where no filter is to see it. */
  screening(mail: FilteredMail): Screening | undefined {
    const runs = this.of(mail.facts).map((config) => new FilterRun(config, () => OPEN[config.type](config, mail)));
    if (runs.length === 0) return undefined;
    const screening = new Screening(runs, {
      answered: (answers) => this.#say(mail, answers),
      over: () => this.#running.delete(screening),
    });
    this.#running.add(screening);
    return screening;
  }

  /** Whether each filter is there. One look is under way at a time: all that ask meanwhile get what it finds. */
  check(): Promise<FilterState[]> {
    this.#check ??= Promise.all(this.#settings.current.filters.map(stateOf)).finally(() => {
      this.#check = undefined;
    });
    return this.#check;
  }

  #say({ queueId }: FilteredMail, answers: readonly Answered[]): void {
    for (const answered of answers) {
      if (!('error' in answered)) continue;
      const { name, url, 'on-trouble': onTrouble } = answered.config;
      const what = onTrouble === 'defer' ? 'mail is deferred' : 'mail passes with a mark';
      this.#troubles.say(name, (repeated) =>
        this.#log.warn(
          { filter: name, url, queueId, error: answered.error, ...repeated },
          `mail filter failed: ${what}`,
        ),
      );
    }
  }

  /** No message is under way any more that somebody waits for. */
  close(): void {
    for (const screening of this.#running) screening.abort();
    this.#troubles.close();
  }
}

async function stateOf(config: FilterConfig): Promise<FilterState> {
  const { name, url, 'on-trouble': onTrouble } = config;
  return { name, url, onTrouble, error: await pingFilter(config) };
}

/** Whether a filter is for the mail of this session. */
function sees({ listeners, kind, direction }: FilterConfig, facts: SessionFacts): boolean {
  if (listeners !== undefined && !listeners.includes(facts.listener)) return false;
  if (kind !== undefined && kind !== facts.kind) return false;
  return direction === undefined || direction === (comesFromOutside(facts) ? 'incoming' : 'outgoing');
}
