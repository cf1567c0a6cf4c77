import type { Config } from '#cluster/config/schema/schema.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { DnsLists } from '../dns/dns-lists.ts';
import { HostList } from '../relay/host-list.ts';
import { HeloFaults } from '../sender/helo-faults.ts';

/** What the facts for the checks of `checks:` come from. */
export class CheckSources {
  /** Clients that these checks do not look at. */
  exempt: HostList;
  helo: HeloFaults;
  records: DnsCache;
  lists: DnsLists;
  readonly #log: Logger;
  readonly #troubles = new LimitedLog();

  constructor(config: Config, log: Logger) {
    this.#log = log;
    this.exempt = new HostList(config.checks.exempt);
    this.helo = new HeloFaults(config);
    this.records = new DnsCache(config.dns);
    this.lists = new DnsLists(config.checks['dns-lists'], this.warn);
  }

  change(next: Config, previous: Config): void {
    this.exempt = new HostList(next.checks.exempt);
    this.helo = new HeloFaults(next);
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
