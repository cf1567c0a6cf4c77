import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { Authenticator } from '../authenticity/authenticator.ts';
import type { IncomingMail } from '../authenticity/verify.ts';
import { ReverseDns } from '../connect/reverse-dns.ts';
import { ClusterDirectory, type ClusterDirectoryDeps } from '../directory/cluster-directory.ts';
import { Directories } from '../directory/directories.ts';
import type { Question } from '../directory/directory.ts';
import { ForcedTls } from '../message/forced-tls.ts';
import { IncomingRules } from '../message/incoming/incoming-rules.ts';
import { HostList } from '../relay/host-list.ts';
import { RelayRules } from '../relay/relay-rules.ts';
import { Rewriting } from '../rewrite/rewriting.ts';
import { SrsKeys } from '../rewrite/srs-keys.ts';
import { type CheckDeps, CheckSources } from './check-sources.ts';

export type Stores = Pick<ClusterDirectoryDeps, 'credentials' | 'onStores' | 'announce'>;
type SourcesDeps = CheckDeps & {
  /** Where the cluster's directory comes from; without them there is none. */
  stores?: Stores | undefined;
};

/**
 * What facts come from besides the request: relay rules, lists of hosts, resolver, directory. They follow the
 * configuration; each question takes them as they are then.
 */
export class Sources {
  readonly directory: Directories;
  rules: RelayRules;
  rewriting: Rewriting;
  incoming: IncomingRules;
  forcedTls: ForcedTls;
  readonly #srs: SrsKeys;
  /** `authentication.anonymous`. */
  anonymous: HostList;
  readonly dns: ReverseDns;
  readonly checks: CheckSources;
  readonly #authenticator: Authenticator;
  readonly #settings: Settings;
  #unsubscribe: (() => void) | undefined;

  constructor(deps: SourcesDeps) {
    const { settings, log, stores } = deps;
    this.#settings = settings;
    this.rules = new RelayRules(settings.current);
    const cluster = stores && new ClusterDirectory({ settings, log, ...stores });
    this.rewriting = new Rewriting(settings.current);
    this.incoming = new IncomingRules(settings.current);
    this.forcedTls = new ForcedTls(settings.current);
    this.directory = new Directories({
      ...{ log, cluster },
      isLocal: (domain) => this.rules.isLocal(domain),
      inLocalDomain: (address) => this.rewriting.inLocalDomain(address),
      delimiter: () => this.rewriting.delimiter,
    });
    this.#srs = new SrsKeys(settings.current, log);
    this.anonymous = new HostList(settings.current.authentication.anonymous);
    this.dns = new ReverseDns(settings.current.dns, log);
    this.checks = new CheckSources(deps);
    this.#authenticator = new Authenticator(settings.current);
  }

  /** What a question is answered from. */
  now() {
    const ask = (question: Question) => this.directory.ask(question);
    const { rules, rewriting, incoming, forcedTls, anonymous, checks } = this;
    const srs = this.#srs.current;
    const unread = () => this.directory.unread;
    const config = this.#settings.current;
    const now = new Date();
    const verify = (mail: IncomingMail) => this.#authenticator.verify(mail, { hostname: config.node.hostname, now });
    const asked = { ask, unread, config, now, verify };
    return { rules, rewriting, incoming, forcedTls, srs, anonymous, checks, ...asked };
  }

  /** Fails with `unreadable` or `invalid` where the users file cannot be used. */
  async open(): Promise<void> {
    await this.directory.open(this.#settings.current.directory);
    await this.#srs.read();
    await this.checks.open();
    this.#unsubscribe = this.#settings.onChange((next, previous) => this.#change(next, previous));
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.dns.close();
    this.#authenticator.close();
    this.directory.close();
    this.#srs.close();
    await this.checks.close();
  }

  #change(next: Config, previous: Config): void {
    this.rules = new RelayRules(next);
    this.rewriting = new Rewriting(next);
    this.incoming = new IncomingRules(next);
    this.forcedTls = new ForcedTls(next);
    this.#srs.change(next);
    this.anonymous = new HostList(next.authentication.anonymous);
    this.checks.change(next, previous);
    this.#authenticator.change(next);
    this.dns.configure(next.dns);
    this.directory.change(next.directory, previous.directory);
  }
}
