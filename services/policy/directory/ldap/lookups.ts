import { type Filter, PresenceFilter } from 'ldapts';
import { filterTemplate, type LdapSchema, type Places } from '#cluster/config/ldap.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import type { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { LdapCache } from './cache.ts';
import { type Found, LdapResult, LdapTrouble, ResultCode, type Search } from './connection.ts';
import { type LdapEntry, readEntry } from './entry.ts';
import { MalformedMessage, type RawEntry } from './messages.ts';
import type { LdapServers } from './servers.ts';

/**
 * Questions to an LDAP directory, and the answers of the last minutes. The same question, asked meanwhile, shares the one
 * search. Referrals are not followed: where an answer has nothing else, it is trouble (`referrals: defer`), or there is
 * nothing (`ignore`).
 */

export type LookupsOptions = {
  base: string;
  schema: LdapSchema;
  cache: { entries: number; found: number; missing: number };
};

const NO_ENTRY: readonly number[] = [ResultCode.noSuchObject, ResultCode.invalidDnSyntax];

/** So many stand for any number. */
export const MOST_ENTRIES = 20;

/** What is looked for: an address or a name of a user, by their keys, or the entry of a DN. */
export type Wanted = { address: string } | { login: string } | { dn: string };

export const keyOf = (wanted: Wanted): string =>
  'address' in wanted
    ? `address ${wanted.address}`
    : 'login' in wanted
      ? `login ${wanted.login}`
      : `dn ${wanted.dn.toLowerCase()}`;

export class LdapLookups {
  readonly #servers: LdapServers;
  readonly #options: LookupsOptions;
  readonly #cache: LdapCache;
  readonly #asked = new Map<string, Promise<readonly LdapEntry[]>>();
  readonly #filters: { address: (places: Places) => Filter; login: (places: Places) => Filter };
  readonly #attributes: string[];
  readonly #log: Logger;
  readonly #troubles: LimitedLog;
  #saidReferral = false;

  constructor(options: LookupsOptions, servers: LdapServers, { log, troubles }: { log: Logger; troubles: LimitedLog }) {
    this.#servers = servers;
    this.#options = options;
    this.#cache = new LdapCache(options.cache.entries);
    const { filters, attributes } = options.schema;
    this.#filters = { address: filterTemplate(filters.address), login: filterTemplate(filters.login) };
    this.#attributes = [...new Set(['objectClass', ...Object.values(attributes).flat()])];
    this.#log = log;
    this.#troubles = troubles;
  }

  /** What is known without a question. */
  known(wanted: Wanted): readonly LdapEntry[] | undefined {
    return this.#cache.get(keyOf(wanted));
  }

  /** The entries, none or one for a DN. Fails with `LdapTrouble`. */
  async find(wanted: Wanted, until: number): Promise<readonly LdapEntry[]> {
    const known = this.known(wanted);
    if (known !== undefined) return known;
    const key = keyOf(wanted);
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked;
    const answer = this.findNow(wanted, until);
    this.#asked.set(key, answer);
    try {
      const entries = await answer;
      const { found, missing } = this.#options.cache;
      this.#cache.set(key, entries, entries.length === 0 ? missing : found);
      return entries;
    } finally {
      this.#asked.delete(key);
    }
  }

  /** Ask, whatever is known. Fails with `LdapTrouble`. */
  async findNow(wanted: Wanted, until: number): Promise<readonly LdapEntry[]> {
    const found = await this.#search(wanted, until);
    if (found.entries.length === 0 && found.references.length > 0) this.#referred(found.references);
    // A server may have a smaller limit of its own: then nobody knows whether an entry is the only one.
    if (found.more && found.entries.length < MOST_ENTRIES) {
      throw new LdapTrouble(`${this.#servers.inUse}: it gives only a part of what it finds (size limit)`);
    }
    return found.entries.map((raw) => this.#read(raw));
  }

  #read(raw: RawEntry): LdapEntry {
    const entry = attempt(raw, this.#options.schema);
    if (entry.unusable.length > 0) {
      const fields = { dn: entry.dn, attributes: entry.unusable.join(' ') };
      this.#troubles.say(`values of ${entry.dn}`, (repeated) =>
        this.#log.warn(
          { ...fields, ...repeated },
          'LDAP entry has values that are no printable text: they are left out',
        ),
      );
    }
    return entry;
  }

  async #search(wanted: Wanted, until: number): Promise<Found> {
    const search = { ...this.#place(wanted), attributes: this.#attributes, most: MOST_ENTRIES };
    try {
      return await this.#servers.run((connection) => connection.search(search, until), until);
    } catch (error) {
      if (!(error instanceof LdapResult)) throw error;
      // The entry is gone, or its name is none; but without its base a directory is not what it should be.
      if ('dn' in wanted && NO_ENTRY.includes(error.code)) return { entries: [], more: false, references: [] };
      const what = error.code === ResultCode.noSuchObject ? `the base "${this.#options.base}" is not there` : 'refused';
      throw new LdapTrouble(`${this.#servers.inUse}: search ${what}: ${error.message}`);
    }
  }

  #place(wanted: Wanted): Pick<Search, 'base' | 'scope' | 'filter'> {
    if ('dn' in wanted) {
      return { base: wanted.dn, scope: 'base', filter: new PresenceFilter({ attribute: 'objectClass' }) };
    }
    const { base } = this.#options;
    if ('login' in wanted) return { base, scope: 'sub', filter: this.#filters.login({ login: wanted.login }) };
    const { address } = wanted;
    const places = { address, local: localPartOf(address), domain: domainOf(address) };
    return { base, scope: 'sub', filter: this.#filters.address(places) };
  }

  #referred([url = '']: readonly string[]): void {
    const server = printable(url);
    if (this.#options.schema.referrals === 'defer') {
      throw new LdapTrouble(`the answer is only that ${server} may know it, and referrals are not followed`);
    }
    if (this.#saidReferral) return;
    this.#saidReferral = true;
    this.#log.info({ server }, 'LDAP answers name another server, which is not asked (directory.ldap.referrals)');
  }
}

function attempt(raw: RawEntry, schema: LdapSchema): LdapEntry {
  try {
    const entry = readEntry(raw, schema);
    if (entry !== undefined) return entry;
  } catch (error) {
    if (error instanceof MalformedMessage) throw new LdapTrouble(errorText(error));
    throw error;
  }
  throw new LdapTrouble(`it answers with an entry whose name is of no use: "${printable(raw.dn)}"`);
}
