import { openedBy } from '#cluster/config/rules/relay.ts';
import type { Config, ListenerConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { SessionCounts } from '#cluster/serving/session-counts.ts';
import type { Calls, Hears } from '#services/topology.ts';
import type { Announce, Service } from '#shared/contract.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { Transcripts } from '#shared/transcript/transcripts.ts';
import { SharedCertificates } from './certificates/shared-certificates.ts';
import { describeFront, type ListenerContract, listenerContract } from './contract.ts';
import { explainSession } from './explain.ts';
import { Filters } from './filters/filters.ts';
import { type ClientAddresses, coveredBy, Gateways } from './gateways.ts';
import { ChallengeServer } from './http-challenge/challenge-server.ts';
import { Listener } from './listener.ts';
import { Placement } from './message/placement.ts';
import { PolicyServer } from './mta-sts/policy-server.ts';
import { Refusals } from './refusals/refusals.ts';
import { EXCEEDED } from './replies.ts';
import { AnnouncedCounts } from './session/announced-counts.ts';
import { sendTestMail } from './test-mail.ts';
import { TlsMaterial } from './tls-material.ts';

export type ListenerDeps = {
  settings: Settings;
  log: Logger;
  policy: Calls<'listener', 'policy'>;
  router: Calls<'listener', 'router'>;
  onRouters: Hears<'listener', 'router'>;
  credentials: Calls<'listener', 'credential-store'>;
  onStores: Hears<'listener', 'credential-store'>;
  announce: Announce<ListenerContract>;
  /** Those of this machine, but for a test. */
  gateways?: Gateways;
};

/** How long messages under way may take when the service stops. */
const GRACE_MS = 10_000;

/**
 * The listener service: SMTP on every configured port. It calls policy about everything that a client asks for, and a
 * router to keep what was accepted. `start` rejects when a port or the certificate cannot be used.
 */
export function createListenerService(deps: ListenerDeps): Service<ListenerContract> {
  const listeners = new Listeners(deps);
  return {
    contract: listenerContract,
    handlers: {
      'status-show': async ({ checkFilters }) => ({
        listeners: listeners.status(),
        ...listeners.exposure(),
        ...listeners.shown(),
        ...listeners.shared(),
        ...(checkFilters && { filters: await listeners.checkFilters() }),
      }),
      'session-explain': (question) => listeners.explain(question),
      'test-send': (question, { bytes }) => listeners.sendTest(question, bytes),
      'transcript-read': (request) => listeners.transcripts.read(request),
      'refusal-find': ({ limit, ...search }) => ({
        node: deps.settings.current.node.name,
        ...listeners.refusals.find(search, limit),
      }),
      'challenge-check': ({ token }) => listeners.checkChallenge(token),
    },
    start: () => listeners.start(),
    stop: () => listeners.stop(),
  };
}

/** What decides about certificates. */
const tlsOf = ({ tls, node, listeners }: Config): string =>
  JSON.stringify([tls, node.hostname, listeners.map((listener) => listener['client-certificates'])]);

/**
 * The open listeners, brought in line with the configuration at every change of it, one change after the other.
 * A listener that cannot be opened at a change is logged; the others go on.
 */
class Listeners {
  readonly transcripts = new Transcripts();
  readonly refusals = new Refusals();
  readonly #deps: ListenerDeps;
  readonly #tls: TlsMaterial;
  readonly #certificates: SharedCertificates;
  readonly #gateways: Gateways;
  readonly #counts = new SessionCounts();
  readonly #announced: AnnouncedCounts;
  readonly #strangers = new LimitedLog();
  readonly #placement: Placement;
  readonly #filters: Filters;
  readonly #policyServer: PolicyServer;
  readonly #challengeServer: ChallengeServer;
  readonly #open = new Map<string, Listener>();
  /** Listeners that left the configuration and finish their sessions. */
  readonly #leaving = new Set<Promise<void>>();
  #unsubscribe: (() => void) | undefined;
  #stopHearing: (() => void) | undefined;
  #changes: Promise<void> = Promise.resolve();

  constructor(deps: ListenerDeps) {
    this.#deps = deps;
    this.#gateways = deps.gateways ?? new Gateways();
    this.#tls = new TlsMaterial(deps.log);
    this.#certificates = new SharedCertificates(deps, this.#tls);
    this.#filters = new Filters(deps);
    this.#policyServer = new PolicyServer({ log: deps.log, tls: this.#tls });
    this.#challengeServer = new ChallengeServer(deps);
    this.#announced = new AnnouncedCounts({ ...deps, counts: this.#counts });
    this.#placement = new Placement(deps.settings.current.node.name, deps.router['transfer-open']);
  }

  async start(): Promise<void> {
    const { settings, onRouters } = this.#deps;
    this.#tls.use(settings.current);
    await this.#certificates.start();
    this.#stopHearing = this.#placement.start(onRouters);
    for (const config of settings.current.listeners) await this.#add(config);
    await this.#policyServer.apply(settings.current);
    await this.#challengeServer.apply(settings.current);
    this.#warnOfGateways();
    this.#announced.start();
    this.#unsubscribe = settings.onChange((next, previous) => {
      this.#changes = this.#changes.then(() => this.#apply(next, previous));
    });
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await this.#changes;
    await this.#policyServer.stop();
    await this.#challengeServer.stop();
    this.#tls.close();
    await this.#certificates.close();
    for (const name of this.#open.keys()) this.#remove(name);
    await Promise.all(this.#leaving);
    this.#announced.stop();
    this.#stopHearing?.();
    this.#strangers.close();
    this.transcripts.close();
    this.#filters.close();
  }

  status() {
    return [...this.#open.values()].map(({ config, port, connections }) => ({
      name: config.name,
      kind: config.kind,
      address: config.address,
      port,
      tls: config.tls,
      sessions: connections.size,
    }));
  }

  explain(question: Parameters<typeof explainSession>[0]): ReturnType<typeof explainSession> {
    const { front } = this.#gateways;
    return explainSession(question, {
      ...this.#sessionDeps(),
      notes: front === undefined ? [] : [describeFront(front)],
      listeners: [...this.#open.values()].map(({ config }) => config),
      hasCertificate: this.#tls.contexts.has('*'),
      refusal: (client) => {
        const exceeded = this.#counts.refusal(client, this.#deps.settings.current.limits);
        return exceeded && EXCEEDED[exceeded];
      },
    });
  }

  sendTest(question: Parameters<typeof sendTestMail>[0], password: Uint8Array): ReturnType<typeof sendTestMail> {
    const parts = { ...this.#sessionDeps(), listeners: [...this.#open.values()] };
    return sendTestMail(question, password, { ...parts, explain: (asked) => this.explain(asked) });
  }

  /** Through which addresses anybody may come in, and what the relay rules say of those; whether they let in everybody. */
  exposure() {
    const { relay } = this.#deps.settings.current;
    const { front } = this.#gateways;
    return {
      gateways: this.#gateways.covered(relay),
      front: front && { ...front, entries: coveredBy(relay, front.address) },
      openRelay: openedBy(relay),
    };
  }

  async checkChallenge(token: string) {
    return { node: this.#deps.settings.current.node.name, ...(await this.#challengeServer.check(token)) };
  }

  /** What other servers see of this one: its name, certificates, MTA-STS policy, and where it answers challenges. */
  shown() {
    const mtaSts = this.#policyServer.status;
    const { port } = this.#challengeServer;
    return {
      hostname: this.#deps.settings.current.node.hostname,
      certificates: this.#tls.presented(),
      ...(mtaSts !== undefined && { mtaSts: { ...mtaSts, domains: [...mtaSts.domains] } }),
      ...(port !== undefined && { httpChallenge: { port } }),
    };
  }

  /** The certificates of the cluster, where they are used here. */
  shared() {
    const { certificates, behind, neks } = this.#certificates.status() ?? {};
    return { sharedCertificates: certificates, sharedBehind: behind, tlsNeks: neks };
  }

  checkFilters(): ReturnType<Filters['check']> {
    return this.#filters.check();
  }

  #warnOfGateways(): void {
    const { log, settings } = this.#deps;
    for (const { named, ...fields } of this.#gateways.covered(settings.current.relay)) {
      if (named) log.warn(fields, 'relay rules trust a gateway of the container network: so everybody behind it');
      else log.warn(fields, 'relay rules hold a gateway of the container network: it is not trusted');
    }
    for (const found of this.#gateways.amongProxies(settings.current.listeners)) {
      const what =
        'a network in proxy holds a gateway of the container network: what comes from there has no PROXY header';
      log.warn(found, `${what}, unless the list has its address alone`);
    }
  }

  #saw({ address, isProxy }: Parameters<ClientAddresses['saw']>[0], helo: string): void {
    const front = isProxy ? undefined : this.#gateways.saw(address, helo);
    if (front === undefined) return;
    const { log, settings } = this.#deps;
    const entries = coveredBy(settings.current.relay, address);
    const fields = { ...front, entries: entries.map(({ list, entry }) => `${list}: ${entry}`) };
    const what = 'all clients come from one address: something in front of the listeners hides who they are';
    if (entries.some(({ named }) => named))
      log.error(fields, `${what}; the relay rules name it, so everybody may relay`);
    else log.warn(fields, `${what}; the relay rules trust it only where they name it alone`);
  }

  async #apply(next: Config, previous: Config): Promise<void> {
    if (tlsOf(next) !== tlsOf(previous)) {
      this.#tls.tryUse(next);
      await this.#certificates.apply();
    }
    const wanted = new Map(next.listeners.map((config) => [config.name, config]));
    for (const [name, listener] of this.#open) {
      const config = wanted.get(name);
      // Close first, so that the port is free for a new listener.
      if (config === undefined || !listener.fits(config)) this.#remove(name);
      else listener.config = config;
    }
    for (const [name, config] of wanted) {
      if (this.#open.has(name)) continue;
      try {
        await this.#add(config);
      } catch (error) {
        this.#deps.log.error({ listener: name, error: errorText(error) }, 'listener not opened');
      }
    }
    await this.#policyServer.apply(next).catch((error: unknown) => {
      this.#deps.log.error({ error: errorText(error) }, 'MTA-STS policy not served');
    });
    await this.#challengeServer.apply(next).catch((error: unknown) => {
      this.#deps.log.error({ error: errorText(error) }, 'challenges of ACME not served');
    });
    const exposed = ({ relay, listeners }: Config): string => JSON.stringify([relay, listeners]);
    if (exposed(next) !== exposed(previous)) this.#warnOfGateways();
    if (next.limits.timeout !== previous.limits.timeout) this.#rearm(next.limits.timeout);
  }

  async #add(config: ListenerConfig): Promise<void> {
    const listener = new Listener(config, {
      ...this.#sessionDeps(),
      ...{ tls: this.#tls, counts: this.#counts, strangers: this.#strangers },
      ...{ transcripts: this.transcripts, refusals: this.refusals },
    });
    await listener.open();
    this.#open.set(config.name, listener);
  }

  #sessionDeps() {
    const { settings, log, policy, router } = this.#deps;
    const gateways: ClientAddresses = {
      has: (address) => this.#gateways.has(address),
      saw: (client, helo) => this.#saw(client, helo),
    };
    return { settings, log, policy, router, placement: this.#placement, filters: this.#filters, gateways };
  }

  #remove(name: string): void {
    const stopped = this.#open.get(name)?.stop(GRACE_MS) ?? Promise.resolve();
    this.#open.delete(name);
    this.#leaving.add(stopped);
    stopped.finally(() => this.#leaving.delete(stopped));
  }

  #rearm(timeoutMs: number): void {
    for (const { connections } of this.#open.values()) {
      for (const connection of connections) connection.rearm(timeoutMs);
    }
  }
}
