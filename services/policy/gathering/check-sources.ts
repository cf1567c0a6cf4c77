import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Hears } from '#services/topology.ts';
import { DnsResolver, type ResolverSettings } from '#shared/dns/resolver.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { OpenConnections } from '../connect/open-connections.ts';
import { DnsLists } from '../dns/dns-lists.ts';
import { type GreylistBus, SharedGreylist } from '../greylist/shared-greylist.ts';
import { HostList } from '../relay/host-list.ts';
import { MailboxList } from '../relay/mailbox-list.ts';
import { HeloFaults } from '../sender/helo-faults.ts';

export type CheckDeps = {
  settings: Settings;
  log: Logger;
  /** The policy services of the other nodes; undefined: there are none. */
  peers?: GreylistBus | undefined;
  /** The listeners of all nodes, this one too. */
  onListeners?: Hears<'policy', 'listener'> | undefined;
};

/** What the facts for the checks of `checks:` come from. */
export class CheckSources {
  /** Clients that these checks do not look at. */
  exempt: HostList;
  helo: HeloFaults;
  /**
   * Resolvers of their own: a question takes as long as its check may wait, and strangers name the domains of senders.
   * However many questions these cause, and however often their servers fail, those to the lists go on.
   */
  readonly senderDomains: DnsResolver;
  readonly listAnswers: DnsResolver;
  lists: DnsLists;
  readonly greylist: SharedGreylist;
  readonly connections = new OpenConnections();
  /** Whom the greylist does not delay. */
  undelayed: { clients: HostList; recipients: MailboxList };
  readonly #log: Logger;
  readonly #onListeners: CheckDeps['onListeners'];
  readonly #troubles = new LimitedLog();
  #stopHearing: (() => void) | undefined;

  constructor({ settings, log, peers, onListeners }: CheckDeps) {
    const config = settings.current;
    this.#log = log;
    this.#onListeners = onListeners;
    this.greylist = new SharedGreylist({ settings, log, peers });
    this.undelayed = undelayed(config);
    this.exempt = new HostList(config.checks.exempt);
    this.helo = new HeloFaults(config);
    this.senderDomains = new DnsResolver(forSenderDomains(config));
    this.listAnswers = new DnsResolver(forLists(config));
    this.lists = new DnsLists(config.checks['dns-lists'], this.warn);
  }

  async open(): Promise<void> {
    await this.greylist.start();
    this.#stopHearing = this.#onListeners?.('sessions', (heard) => this.connections.hear(heard));
  }

  change(next: Config, previous: Config): void {
    this.exempt = new HostList(next.checks.exempt);
    this.helo = new HeloFaults(next);
    this.undelayed = undelayed(next);
    if (next.checks !== previous.checks) this.lists = new DnsLists(next.checks['dns-lists'], this.warn);
    this.senderDomains.configure(forSenderDomains(next));
    this.listAnswers.configure(forLists(next));
  }

  /** Log that a check could not be made; of one `key` a line a minute. */
  readonly warn = (key: string, fields: object, what: string): void => {
    this.#troubles.say(key, (repeated) => this.#log.warn({ ...fields, ...repeated }, what));
  };

  async close(): Promise<void> {
    this.#stopHearing?.();
    this.senderDomains.close();
    this.listAnswers.close();
    this.#troubles.close();
    await this.greylist.stop();
  }
}

function undelayed({ checks: { greylist } }: Config): CheckSources['undelayed'] {
  return { clients: new HostList(greylist.clients), recipients: new MailboxList(greylist.recipients) };
}

/** A question takes as long as the check that asks it may wait: what is silent is known to be at its end. */
function forSenderDomains({ dns, checks }: Config): ResolverSettings {
  return { servers: dns.servers, timeout: checks['sender-domain'].timeout };
}

function forLists({ dns, checks }: Config): ResolverSettings {
  return { servers: dns.servers, timeout: checks['dns-lists'].timeout };
}
