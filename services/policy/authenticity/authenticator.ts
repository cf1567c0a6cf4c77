import type { Lookup } from 'mailauth/lib/tools.js';
import type { Config } from '#cluster/config/schema/schema.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { DkimKeys } from './dkim-keys.ts';
import { FairLookups } from './fair-lookups.ts';
import type { IncomingMail } from './verify.ts';

/** Finds out about incoming mail, with the name servers of the configuration. */
export class Authenticator {
  #keys: DkimKeys | undefined;
  readonly #resolver: DnsResolver;
  /** For DMARC policies alone (verify.ts). */
  readonly #policies: DnsResolver;
  readonly #fair = new FairLookups();
  #timeoutMs: number;

  constructor({ dns }: Pick<Config, 'dns'>) {
    this.#resolver = new DnsResolver(dns);
    this.#policies = new DnsResolver(dns);
    this.#timeoutMs = dns.timeout;
  }

  change({ dns }: Pick<Config, 'dns'>): void {
    this.#resolver.configure(dns);
    this.#policies.configure(dns);
    this.#timeoutMs = dns.timeout;
  }

  close(): void {
    this.#resolver.close();
    this.#policies.close();
  }

  async verify(mail: IncomingMail, { hostname, now }: { hostname: string; now: Date }): Promise<Authenticity> {
    // Loaded with the first message: mailauth and its libraries are a tenth of a start, and not every node is an edge.
    const [{ DkimKeys }, { verifyMessage }] = await Promise.all([import('./dkim-keys.ts'), import('./verify.ts')]);
    this.#keys ??= new DkimKeys();
    const any: Lookup = mailauthResolver(this.#resolver, { timeoutMs: this.#timeoutMs });
    // Behind a gateway may be anybody.
    const network = mail.gateway ? undefined : neighbourhood(mail.client.address);
    const lookup = network === undefined ? any : this.#fair.of(network, any);
    // Those of one network that are slow leave room for those of others; beyond its part its mail waits.
    const policies: Lookup = mailauthResolver(this.#policies, { timeoutMs: this.#timeoutMs, network });
    return verifyMessage(mail, { lookup, policies, keys: this.#keys, hostname, now });
  }
}
