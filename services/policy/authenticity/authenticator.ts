import type { Lookup } from 'mailauth/lib/tools.js';
import type { Settings } from '#cluster/config/settings.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import type { DnsResolver } from '#shared/dns/resolver.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { DkimKeys } from './dkim-keys.ts';
import { FairLookups } from './fair-lookups.ts';
import { type IncomingMail, verifyMessage } from './verify.ts';

/** Finds out about incoming mail. */
export class Authenticator {
  readonly #dns: DnsResolver;
  readonly #settings: Settings;
  readonly #keys = new DkimKeys();
  readonly #fair = new FairLookups();

  constructor(dns: DnsResolver, settings: Settings) {
    this.#dns = dns;
    this.#settings = settings;
  }

  verify(mail: IncomingMail, { hostname, now }: { hostname: string; now: Date }): Promise<Authenticity> {
    const { timeout: waitMs } = this.#settings.current.dns;
    const any: Lookup = mailauthResolver(this.#dns, { waitMs, purpose: 'authentication' });
    // Behind a gateway may be anybody.
    const network = mail.gateway ? undefined : neighbourhood(mail.client.address);
    const lookup = network === undefined ? any : this.#fair.of(network, any);
    // Those of one network that are slow leave room for those of others; beyond its part its mail waits.
    const policies: Lookup = mailauthResolver(this.#dns, { waitMs, purpose: 'DMARC policies', network });
    return verifyMessage(mail, { lookup, policies, keys: this.#keys, hostname, now });
  }
}
