import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf } from '#shared/address/address.ts';
import { withoutTag } from '#shared/address/canonical-address.ts';
import { nearest } from '#shared/address/domains.ts';
import type { SessionFacts } from '../../contract.ts';
import { DomainList, HostList, namedBy } from '../../relay/host-list.ts';
import { MailboxList } from '../../relay/mailbox-list.ts';

type DmarcOverride = Config['authenticity']['dmarc']['overrides'][number];

/** The section `authenticity`, arranged for the checks of mail from outside. */
export class IncomingRules {
  readonly rejectsSpfFail: boolean;
  readonly #spfExempt: HostList;
  readonly enforcesDmarc: boolean;
  readonly #overrides: ReadonlyMap<string, DmarcOverride>;
  /** Hosts, and domains that the mail of lists passes SPF or DKIM for. */
  readonly mailingLists: HostList;
  readonly arcSealers: DomainList;
  readonly junksSoftFail: boolean;
  readonly #everybody: boolean;
  readonly #except: MailboxList;
  /** Addresses in `junk.except` of domains of ours: there may be groups among them. */
  readonly exceptGroups: readonly string[];
  /** Local domains with `tls-header`. */
  readonly tlsHeader: ReadonlySet<string>;
  readonly external: { tag: string | undefined; field: boolean };

  constructor({ authenticity, domains }: Pick<Config, 'authenticity' | 'domains'>) {
    const { spf, dmarc, junk, external } = authenticity;
    this.rejectsSpfFail = spf['hard-fail'] === 'reject';
    this.#spfExempt = new HostList(spf.exempt);
    this.enforcesDmarc = dmarc.enforce;
    this.#overrides = new Map(dmarc.overrides.map((entry) => [entry.domain, entry]));
    this.mailingLists = new HostList(dmarc['mailing-lists']);
    this.arcSealers = new DomainList(dmarc['arc-sealers']);
    this.junksSoftFail = junk['soft-fail'];
    this.#everybody = junk.except.includes('*');
    this.#except = new MailboxList(junk.except);
    const local = new Set(domains.filter((entry) => entry.local).map(({ name }) => name));
    this.exceptGroups = junk.except.filter((entry) => entry.includes('@') && local.has(domainOf(entry)));
    this.tlsHeader = new Set(domains.filter((entry) => entry.local && entry['tls-header']).map(({ name }) => name));
    this.external = { tag: external['subject-tag'], field: external.header };
  }

  /** The entry of `spf.exempt` that names the client: SPF is not asked about its mail (DOMINO I4). */
  exemptFromSpf(session: Pick<SessionFacts, 'client' | 'gateway'>): string | undefined {
    return namedBy(this.#spfExempt, session);
  }

  /** What is done with mail of a domain (normalized) that fails DMARC, in place of what the domain asks for. */
  dmarcOverride(domain: string): DmarcOverride | undefined {
    return nearest(domain, (name) => this.#overrides.get(name));
  }

  /** The entry of `junk.except` that names an address (canonical), with its tag or without. */
  exceptFromJunk(address: string, delimiter: string): string | undefined {
    if (this.#everybody) return '*';
    return this.#except.match(address) ?? this.#except.match(withoutTag(address, delimiter) ?? address);
  }
}
