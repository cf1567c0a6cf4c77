import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf } from '#shared/address/address.ts';
import { withoutTag } from '#shared/address/canonical-address.ts';
import { MailboxList } from '../../relay/mailbox-list.ts';

/** The section `authenticity`, arranged for the checks of mail from outside. */
export class IncomingRules {
  readonly #everybody: boolean;
  readonly #except: MailboxList;
  /** Addresses in `junk.except` of domains of ours: there may be groups among them. */
  readonly exceptGroups: readonly string[];

  constructor({ authenticity, domains }: Pick<Config, 'authenticity' | 'domains'>) {
    const { except } = authenticity.junk;
    this.#everybody = except.includes('*');
    this.#except = new MailboxList(except);
    const local = new Set(domains.filter((entry) => entry.local).map(({ name }) => name));
    this.exceptGroups = except.filter((entry) => entry.includes('@') && local.has(domainOf(entry)));
  }

  /** The entry of `junk.except` that names an address (canonical), with its tag or without. */
  exceptFromJunk(address: string, delimiter: string): string | undefined {
    if (this.#everybody) return '*';
    return this.#except.match(address) ?? this.#except.match(withoutTag(address, delimiter) ?? address);
  }
}
