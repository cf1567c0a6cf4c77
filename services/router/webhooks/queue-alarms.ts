import type { Settings } from '#cluster/config/settings.ts';
import { type Alarms, type Found, webhookAlarms } from '#cluster/webhooks/alarms.ts';
import type { Webhooks } from '#cluster/webhooks/webhooks.ts';

/**
 * The alarms about the queue of this node, which its router watches by itself: so they are raised also where the rest of the
 * cluster cannot be reached. The limits are those of the shipped rules for Prometheus (cluster/monitoring/alerts.yaml).
 */

const LOOK_MS = 10_000;
const MINUTE_MS = 60_000;
const LONG_QUEUE = 1000;
/** It is long until it is no longer than this, so that one that goes up and down is one alarm. */
const SHORT_QUEUE = 800;

/** `missing`: messages that should have a second copy and have none. */
export type QueueState = {
  refusing?: string | undefined;
  deferred: number;
  hold: number;
  damaged: number;
  missing: number;
};

type QueueAlarmsDeps = {
  settings: Settings;
  alarms: Alarms;
  webhooks: Webhooks;
  /** Undefined: it cannot be told now. */
  state: () => Promise<QueueState | undefined>;
};

export class QueueAlarms {
  readonly #deps: QueueAlarmsDeps;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();
  #isLong: boolean;

  constructor(deps: QueueAlarmsDeps) {
    this.#deps = deps;
    this.#isLong = deps.alarms.raised('queue-long').length > 0;
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.look());
    }, LOOK_MS).unref();
  }

  /** Look once. Never rejects. */
  async look(now: number = Date.now()): Promise<void> {
    const { alarms, state } = this.#deps;
    if (!alarms.wanted) return;
    const found = await state().catch(() => undefined);
    if (found !== undefined) await alarms.report(this.#found(found, now));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  #found({ refusing, deferred, hold, damaged, missing }: QueueState, now: number): Found[] {
    const { settings, webhooks, alarms } = this.#deps;
    const about = `node ${settings.current.node.name}`;
    const when = (name: Found['alarm'], holds: boolean, ms: number, text: string, help: string): Found[] => {
      const since = alarms.lasting(name, about, holds, ms, now);
      return since === undefined ? [] : [{ alarm: name, about, text, help, since }];
    };
    this.#isLong = deferred > (this.#isLong ? SHORT_QUEUE : LONG_QUEUE);
    return [
      ...when(
        'queue-refusing',
        refusing !== undefined,
        MINUTE_MS,
        `its queue takes no mail: ${refusing}`,
        'clients hear 4xx and come again; most often the disk is full',
      ),
      ...when(
        'queue-long',
        this.#isLong,
        15 * MINUTE_MS,
        `${deferred} messages wait for their next attempt, and have been more than ${LONG_QUEUE} for a quarter of an hour`,
        '"sealpost queue summary" shows for which destinations and why',
      ),
      ...when(
        'mail-held',
        hold > 0,
        60 * MINUTE_MS,
        `${hold} messages are held for an operator`,
        '"sealpost queue list --state hold" shows them',
      ),
      ...when(
        'mail-damaged',
        damaged > 0,
        0,
        `${damaged} damaged things are set aside`,
        '"sealpost doctor" names them',
      ),
      ...when(
        'copies-missing',
        missing > 0,
        5 * MINUTE_MS,
        `${missing} messages have no second copy`,
        'they would be lost with its disk; "sealpost cluster status" says which routers are up',
      ),
      ...webhookAlarms(webhooks.status(), `router of node ${settings.current.node.name}`, now),
    ];
  }
}
