import type { Config } from '#cluster/config/schema/schema.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { DnsLists } from '../dns/dns-lists.ts';
import type { SharedGreylist } from '../greylist/shared-greylist.ts';
import { HostList } from '../relay/host-list.ts';
import { MailboxList } from '../relay/mailbox-list.ts';
import { HeloFaults } from '../sender/helo-faults.ts';

/** What the facts for the checks of `checks:` come from. */
export class CheckSources {
  /** Clients that these checks do not look at. */
  exempt: HostList;
  helo: HeloFaults;
  records: DnsCache;
  lists: DnsLists;
  readonly greylist: SharedGreylist;
  /** Recipients that the greylist does not delay. */
  undelayed: MailboxList;
  readonly #log: Logger;
  readonly #troubles = new LimitedLog();

  constructor(config: Config, log: Logger, greylist: SharedGreylist) {
    this.#log = log;
    this.greylist = greylist;
    this.undelayed = new MailboxList(config.checks.greylist.recipients);
    this.exempt = new HostList(config.checks.exempt);
    this.helo = new HeloFaults(config);
    this.records = new DnsCache(config.dns);
    this.lists = new DnsLists(config.checks['dns-lists'], this.warn);
  }

  change(next: Config, previous: Config): void {
    this.exempt = new HostList(next.checks.exempt);
    this.helo = new HeloFaults(next);
    this.undelayed = new MailboxList(next.checks.greylist.recipients);
    if (next.checks !== previous.checks) this.lists = new DnsLists(next.checks['dns-lists'], this.warn);
    if (JSON.stringify(next.dns) !== JSON.stringify(previous.dns)) this.records = new DnsCache(next.dns);
  }

  /** Log that a check could not be made; of one `key` a line a minute. */
  readonly warn = (key: string, fields: object, what: string): void => {
    this.#troubles.say(key, (repeated) => this.#log.warn({ ...fields, ...repeated }, what));
  };

  close(): void {
    this.#troubles.close();
  }
}
