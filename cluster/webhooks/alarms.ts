import { z } from 'zod';
import { errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { formatDuration } from '#shared/units.ts';
import { Alarm, type WebhookEvent } from '#shared/webhooks/events.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';
import type { Settings } from '../config/settings.ts';
import type { Store } from '../store.ts';
import type { Webhooks } from './webhooks.ts';

/**
 * The alarms that a service watches: which are raised, and what webhooks are told of them.
 *
 *   webhook-alarm!<alarm>!<about>   it is raised; so a start does not raise it again, and clears what is over
 *
 * A watcher says again and again all that holds (`report`). What is new among it is raised, what is missing is cleared.
 */

const PREFIX = 'webhook-alarm!';

const Raised = z.object({
  alarm: Alarm,
  about: z.string(),
  text: z.string(),
  help: z.string(),
  /** ms since 1970 */
  since: z.number(),
  /** Those that it is about; absent: it concerns everybody. */
  domains: z.array(z.string()).optional(),
});

/** What is wrong. `about` tells alarms of one kind apart. */
export type Found = z.infer<typeof Raised>;

export type AlarmsDeps = {
  store: Store;
  settings: Settings;
  log: Logger;
  webhooks: Pick<Webhooks, 'wants' | 'tell'>;
};

export class Alarms {
  readonly #deps: AlarmsDeps;
  readonly #raised = new Map<string, Found>();
  /** Since when each holds that is not raised yet. */
  readonly #holding = new Map<string, number>();

  private constructor(deps: AlarmsDeps) {
    this.#deps = deps;
  }

  /** With those that an earlier process raised. Rejects with `store-failed`. */
  static async open(deps: AlarmsDeps): Promise<Alarms> {
    const alarms = new Alarms(deps);
    for await (const [key, value] of deps.store.entries({ gte: PREFIX, lt: 'webhook-alarm"' })) {
      try {
        alarms.#raised.set(key, Raised.parse(JSON.parse(value.toString())));
      } catch (error) {
        deps.log.warn({ key, error: errorText(error) }, 'an alarm cannot be read: it is raised again while it holds');
      }
    }
    return alarms;
  }

  /** Whether a webhook wants to hear of any: nobody else looks. */
  get wanted(): boolean {
    const { webhooks } = this.#deps;
    return webhooks.wants('alarm.raised') || webhooks.wants('alarm.cleared');
  }

  /** Those of a kind that are raised. */
  raised(alarm: Alarm): Found[] {
    return [...this.#raised.values()].filter((one) => one.alarm === alarm);
  }

  /** Since when it has held, ms since 1970; undefined where it does not, or not for so long. */
  lasting(alarm: Alarm, about: string, holds: boolean, ms: number, now: number): number | undefined {
    const key = PREFIX + keyOf({ alarm, about });
    if (!holds) {
      this.#holding.delete(key);
      return undefined;
    }
    const since = this.#raised.get(key)?.since ?? this.#holding.get(key) ?? now;
    this.#holding.set(key, since);
    return now - since >= ms ? since : undefined;
  }

  /**
   * All that holds now, of the kinds `among`. Where it is not `mine`, another process tells of it, and it is only remembered.
   * Never rejects.
   */
  async report(
    found: readonly Found[],
    { among = Alarm.options, mine = true }: { among?: readonly Alarm[]; mine?: boolean } = {},
  ): Promise<void> {
    const holding = new Map(found.map((one) => [PREFIX + keyOf(one), one]));
    const events: WebhookEvent[] = [];
    for (const [key, one] of holding) {
      if (this.#raised.has(key)) continue;
      this.#raised.set(key, one);
      if (mine) events.push(this.#event('alarm.raised', one));
      this.#keep([{ type: 'put', key, value: Buffer.from(JSON.stringify(one)) }]);
    }
    for (const [key, one] of this.#raised) {
      if (holding.has(key) || !among.includes(one.alarm)) continue;
      this.#raised.delete(key);
      if (mine) events.push(this.#event('alarm.cleared', one));
      this.#keep([{ type: 'del', key }]);
    }
    for (const { type, data } of events) this.#deps.log.info({ type, data }, 'webhooks are told of an alarm');
    await this.#deps.webhooks.tell(events);
  }

  /** A disk that takes nothing must not keep the alarm back that says so. */
  #keep(operations: Parameters<Store['persist']>[0]): void {
    this.#deps.store.persist(operations).catch(() => undefined);
  }

  #event(type: 'alarm.raised' | 'alarm.cleared', { domains, ...one }: Found): WebhookEvent {
    const { alarm, about, text, help, since } = one;
    const { name: node } = this.#deps.settings.current.node;
    const data = { alarm, about, node, text, help, since: new Date(since).toISOString() };
    // Not made of what holds: that may be over, and come again.
    return { id: `alarm_${newId()}`, type, at: Date.now(), data, domains };
  }
}

const keyOf = ({ alarm, about }: Pick<Found, 'alarm' | 'about'>): string => `${alarm}!${about}`;

/** A webhook that takes nothing for so long needs somebody: events are given up after a day. */
export const LONG_MS = 3_600_000;

/** Those of webhooks that take nothing: what is to be told to them waits in this service of this node. */
export function webhookAlarms(webhooks: readonly WebhookStatus[], where: string, now: number): Found[] {
  return webhooks.flatMap(({ name, failing, paused, lastError }): Found[] => {
    const about = `webhook ${name} of the ${where}`;
    if (paused !== undefined) {
      const text = 'its receiver is gone (410), and it is paused';
      const help = `"sealpost webhooks retry ${name}" sends again; or take it out of webhooks`;
      return [{ alarm: 'webhook-failing', about, text, help, since: paused.at }];
    }
    if (failing === undefined || now - failing.since < LONG_MS) return [];
    const text = `it has taken nothing for ${formatDuration(LONG_MS)}: ${lastError?.text ?? 'unknown'}`;
    const help = `"sealpost webhooks test ${name}" shows what it answers; events are given up after a day`;
    return [{ alarm: 'webhook-failing', about, text, help, since: failing.since }];
  });
}
