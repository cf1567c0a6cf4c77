import type { Settings } from '#cluster/config/settings.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import { type Alarms, type Found, webhookAlarms } from '#cluster/webhooks/alarms.ts';
import type { Webhooks } from '#cluster/webhooks/webhooks.ts';
import { formatDuration } from '#shared/units.ts';
import type { Alarm } from '#shared/webhooks/events.ts';
import { type DnsViews, isUnknown } from '../dns/views.ts';
import { isExposed } from '../life/life-cycle.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Turn } from './record-watch.ts';

/**
 * The alarms about the cluster: silent nodes, and keys that need somebody. Every credential-store watches for them, and the
 * eldest of those that are live tells. What is about this node alone it tells by itself.
 */

const LOOK_MS = 10_000;
const MINUTE_MS = 60_000;
/** A node that starts again after a crash is back by then. */
const SILENT_MS = 30_000;
/** One that nobody knows any more is not coming back. */
const FORGOTTEN_MS = 86_400_000;
const REFUSED_MS = 5 * MINUTE_MS;
/** A key that waits for a person is stuck immediately, another one after that: name servers take their time. */
const STUCK_MS = 60 * MINUTE_MS;
const EXPOSED_MS = 10 * MINUTE_MS;

const OWN: readonly Alarm[] = ['bus-away', 'webhook-failing'];
const SHARED: readonly Alarm[] = ['node-silent', 'config-refused', 'key-stuck', 'key-exposed'];

export type ClusterAlarmsDeps = {
  settings: Settings;
  alarms: Alarms;
  webhooks: Pick<Webhooks, 'status'>;
  turn: Turn;
  /** Whether the other nodes cannot be reached. */
  isAway: () => boolean;
  /** The processes of the cluster. */
  members: () => Promise<readonly Member[]>;
  domains: () => readonly DomainRecord[];
  views: Pick<DnsViews, 'last'>;
};

export class ClusterAlarms {
  readonly #deps: ClusterAlarmsDeps;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();

  constructor(deps: ClusterAlarmsDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.look());
    }, LOOK_MS).unref();
  }

  /** Look once. Never rejects. */
  async look(now: number = Date.now()): Promise<void> {
    const { alarms, turn } = this.#deps;
    if (!alarms.wanted) return;
    await alarms.report(this.#own(now), { among: OWN });
    const whose = turn();
    // Who is cut off hears nobody.
    if (whose === undefined) return;
    const members = await this.#deps.members().catch(() => undefined);
    if (members === undefined) return;
    const silent = [...silentNodes(members, now), ...this.#unheard(members, now)];
    const found = [...silent, ...this.#refused(members, now), ...this.#keys(now)];
    await alarms.report(found, { among: SHARED, mine: whose === 'mine' });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  #own(now: number): Found[] {
    const { settings, alarms, webhooks, isAway } = this.#deps;
    const about = aboutNode(settings.current.node.name);
    const since = alarms.lasting('bus-away', about, isAway(), MINUTE_MS, now);
    const failing = webhookAlarms(webhooks.status(), `credential-store of ${about}`, now);
    if (since === undefined) return failing;
    const text = 'it cannot reach the other nodes: keys cannot be changed; mail goes on';
    const help = 'see that a majority of the NATS servers runs, with JetStream, and that this node reaches them';
    return [{ alarm: 'bus-away', about, text, help, since }, ...failing];
  }

  /**
   * Silent nodes of which this process has never heard: it was started after they fell silent, or somebody has had the cluster
   * forget them.
   */
  #unheard(members: readonly Member[], now: number): Found[] {
    const known = new Set(members.map(({ node }) => aboutNode(node)));
    const raised = this.#deps.alarms.raised('node-silent');
    return raised.filter(({ about, since }) => !known.has(about) && now - since < FORGOTTEN_MS);
  }

  #refused(members: readonly Member[], now: number): Found[] {
    const { alarms } = this.#deps;
    const nodes = Map.groupBy(members, ({ node }) => node);
    return [...nodes].flatMap(([node, processes]): Found[] => {
      const about = aboutNode(node);
      const reason = processes.find(({ state, refused }) => state !== 'gone' && refused !== undefined)?.refused;
      const since = alarms.lasting('config-refused', about, reason !== undefined, REFUSED_MS, now);
      if (since === undefined) return [];
      const text = `it goes on with its configuration of before: ${reason}`;
      return [{ alarm: 'config-refused', about, text, help: '"sealpost config check" lists what is wrong', since }];
    });
  }

  #keys(now: number): Found[] {
    return this.#deps
      .domains()
      .flatMap(({ domain, keys }) =>
        keys.flatMap((key) => [...stuck(domain, key, now), ...exposed(domain, key, this.#isExposed(domain, key), now)]),
      );
  }

  /** DNS that was not asked yet, or does not answer, says nothing: what was exposed is so until it says otherwise. */
  #isExposed(domain: string, key: KeyRecord): boolean {
    const { views, alarms } = this.#deps;
    const seen = views.last(domain, key)?.verdict;
    if (!isUnknown(seen) || key.compromised !== true) return isExposed(key, seen);
    const wasRaised = alarms.raised('key-exposed').some(({ about }) => about === aboutKey(domain, key));
    return isExposed(key, wasRaised ? 'different' : undefined);
  }
}

const aboutNode = (node: string): string => `node ${node}`;
const aboutKey = (domain: string, { selector }: KeyRecord): string => `key ${selector} of ${domain}`;

/** Nodes that fell silent without a word. A process that was started again speaks for the one before. */
function silentNodes(members: readonly Member[], now: number): Found[] {
  const silent = members.filter(({ state, stopped, heard }) => state === 'gone' && !stopped && heard >= SILENT_MS);
  const lost = silent.filter(
    ({ node, services }) =>
      !members.some((other) => {
        const isLive = other.state !== 'gone' && other.node === node;
        return isLive && services.every((service) => other.services.includes(service));
      }),
  );
  return [...Map.groupBy(lost, ({ node }) => node)].map(([node, processes]): Found => {
    const services = [...new Set(processes.flatMap((one) => one.services))].join(', ');
    const heard = Math.min(...processes.map((one) => one.heard));
    return {
      ...{ alarm: 'node-silent', about: aboutNode(node), since: now - heard },
      text: `nothing is heard of its ${services}`,
      help: `"sealpost cluster status" shows what others see; "sealpost cluster forget ${node}" if it is gone for good`,
    };
  });
}

function stuck(domain: string, key: KeyRecord, now: number): Found[] {
  const { selector, problem } = key;
  if (problem === undefined || (!problem.permanent && now - problem.since < STUCK_MS)) return [];
  const lasts = problem.permanent ? 'it needs a person' : `for ${formatDuration(STUCK_MS)} and longer`;
  return [
    {
      ...{ alarm: 'key-stuck', about: aboutKey(domain, key), since: problem.since, domains: [domain] },
      text: `it does not come on, ${lasts}: ${problem.text}`,
      help: `"sealpost keys show ${domain} ${selector}" says what it waits for`,
    },
  ];
}

function exposed(domain: string, key: KeyRecord, is: boolean, now: number): Found[] {
  const { selector, since } = key;
  if (!is || now - since < EXPOSED_MS) return [];
  return [
    {
      ...{ alarm: 'key-exposed', about: aboutKey(domain, key), since, domains: [domain] },
      text: 'it is compromised and still in DNS: forged mail passes',
      help: `take its record out of DNS, or have it say p=; "sealpost keys show ${domain} ${selector}" has the record`,
    },
  ];
}
