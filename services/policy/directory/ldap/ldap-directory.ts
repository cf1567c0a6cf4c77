import { PresenceFilter } from 'ldapts';
import type { LdapConfig } from '#cluster/config/schema/schema.ts';
import { mailboxKey } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { Verified } from '../account.ts';
import { type AnyDirectory, Directory, type Entries, type Question } from '../directory.ts';
import { verifyNobody } from '../passwords.ts';
import { LdapResult, LdapTrouble, ResultCode } from './connection.ts';
import { LdapEntries } from './entries.ts';
import { hasLogin, type LdapEntry } from './entry.ts';
import { BATCH, dnKey, expandGroup } from './group-members.ts';
import { LdapLookups, type Wanted } from './lookups.ts';
import { LdapServers, type ServerState } from './servers.ts';
import { schemaOf, serversOf } from './settings.ts';

/**
 * An LDAP directory as a source beside the users file and the cluster's directory.
 *
 * A question is answered in rounds. A `Directory` of all sources is asked; what it needed of LDAP and LDAP was not asked
 * yet is found out, and it is asked again, until nothing is missing. What another source knows costs LDAP nothing; an
 * answer from the cache needs no waiting. The rounds have one time limit together (`timeout`). When that is over, or no
 * server can be asked, nobody knows the answer: the directory is undefined, and what needs it is deferred.
 */

/** Groups within groups within aliases: each level is a round. */
const MOST_ROUNDS = 20;
const MOST_QUESTIONS = 3000;
/** For an operator who waits. */
const CHECK_MS = 2000;

/** What LDAP answers to a bind with a password that is wrong, or for a user who may not log in. */
const WRONG: readonly number[] = [
  ResultCode.invalidCredentials,
  ResultCode.inappropriateAuthentication,
  ResultCode.insufficientAccessRights,
  ResultCode.constraintViolation,
  ResultCode.noSuchObject,
];

export type LdapDeps = {
  isLocal: (domain: string) => boolean;
  /** An address of a domain that is another name of a local one, in that one. */
  inLocalDomain: (address: string) => string;
  /** What stands before a tag in an address. */
  delimiter: () => string;
  log: Logger;
};

export class LdapDirectory {
  readonly #config: LdapConfig;
  readonly #deps: LdapDeps;
  readonly #servers: LdapServers;
  readonly #lookups: LdapLookups;
  readonly #troubles = new LimitedLog();
  #trouble: string | undefined;

  constructor(config: LdapConfig, deps: LdapDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#servers = new LdapServers(serversOf(config), deps.log);
    const { base, cache } = config;
    const schema = schemaOf(config);
    this.#lookups = new LdapLookups({ base, schema, cache }, this.#servers, {
      log: deps.log,
      troubles: this.#troubles,
    });
  }

  /** Why a question was not answered, lately. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Which servers can be asked now. */
  check(): Promise<ServerState[]> {
    const { base } = this.#config;
    const filter = new PresenceFilter({ attribute: 'objectClass' });
    const search = { base, scope: 'base', filter, attributes: ['1.1'], most: 1 } as const;
    const until = performance.now() + CHECK_MS;
    return this.#servers.check((connection) => connection.search(search, until), until);
  }

  /** A directory of these sources and of what LDAP has; without a promise where nothing has to be waited for. */
  ask(question: Question, sources: readonly Entries[]): AnyDirectory | Promise<AnyDirectory> {
    const entries = new LdapEntries({
      isLocal: this.#deps.isLocal,
      ambiguous: this.#config.ambiguous,
      verify: (login) => (password) => this.#verify(login, password),
    });
    const directory = new Directory([...sources, entries], this.#deps.delimiter());
    for (;;) {
      const missing = this.#missing(question, directory, entries);
      if (missing.length === 0) break;
      if (!this.#addKnown(missing, entries)) return this.#askServers({ question, directory, entries, missing });
    }
    entries.complete();
    return directory;
  }

  close(): void {
    this.#servers.close();
    this.#troubles.close();
  }

  #missing({ users = [], addresses = [] }: Question, directory: Directory, entries: LdapEntries): Wanted[] {
    for (const user of users) directory.user(user);
    for (const address of addresses) {
      for (const end of directory.resolve(address)?.addresses ?? []) {
        const local = this.#deps.inLocalDomain(end);
        if (local !== end) directory.resolve(local);
      }
    }
    return entries.takeMissing();
  }

  async #askServers(asking: Asking): Promise<AnyDirectory> {
    const { question, directory, entries } = asking;
    const until = performance.now() + this.#config.timeout;
    let { missing } = asking;
    let asked = 0;
    try {
      for (let round = 0; missing.length > 0; round++) {
        asked += missing.length;
        if (round >= MOST_ROUNDS || asked > MOST_QUESTIONS)
          throw new LdapTrouble('one question led to too many others');
        // A long list must not keep the questions of others from waiting.
        for (let i = 0; i < missing.length; i += BATCH) {
          await Promise.all(missing.slice(i, i + BATCH).map((wanted) => this.#fetch(wanted, entries, until)));
        }
        missing = this.#missing(question, directory, entries);
      }
      entries.complete();
      return directory;
    } catch (error) {
      if (!(error instanceof LdapTrouble)) throw error;
      this.#trouble = `LDAP: ${error.message}`;
      this.#troubles.say('unanswered', (repeated) =>
        this.#deps.log.warn({ error: errorText(error), ...repeated }, 'LDAP directory gave no answer: deferred'),
      );
      return undefined;
    }
  }

  /** What is in the cache, and no group; false: something is not. */
  #addKnown(missing: readonly Wanted[], entries: LdapEntries): boolean {
    for (const wanted of missing) {
      const known = this.#lookups.known(wanted);
      if (known === undefined || known.some((entry) => entry.members !== undefined)) return false;
      entries.add(wanted, known);
    }
    return true;
  }

  async #fetch(wanted: Wanted, entries: LdapEntries, until: number): Promise<void> {
    const found = await this.#lookups.find(wanted, until);
    for (const entry of found.filter((one) => entries.lacks(one))) await this.#addGroup(entry, entries, until);
    entries.add(wanted, found);
  }

  async #addGroup(entry: LdapEntry, entries: LdapEntries, until: number): Promise<void> {
    const atDn = async (dn: string) => (await this.#lookups.find({ dn }, until))[0];
    const { group, users, lost } = await expandGroup(entry, atDn);
    // They are known now, and need not be asked for by their addresses.
    for (const user of users) {
      for (const address of user.addresses.slice(0, 1)) entries.addUser(mailboxKey(address), user);
    }
    entries.addGroup(entry, group);
    if (lost.length === 0) return;
    const fields = { group: entry.dn, members: lost.length, first: lost[0] };
    this.#troubles.say(`members of ${dnKey(entry.dn)}`, (repeated) =>
      this.#deps.log.warn({ ...fields, ...repeated }, 'LDAP group has members without an address: they get no mail'),
    );
  }

  /**
   * A log-in is decided by what the directory says now, not by the cache: who is it, and is the password right (a bind, RFC
   * 4513 §5.1.3)? An empty password is never sent: that would be no authentication at all, and succeed (§5.1.2).
   */
  async #verify(login: string, password: Uint8Array): Promise<Verified> {
    // The time does not tell whether the user is one of LDAP.
    const [verified] = await Promise.all([this.#bindAs(login, password), verifyNobody(password, undefined)]);
    return verified;
  }

  async #bindAs(login: string, password: Uint8Array): Promise<Verified> {
    const text = textOf(password);
    if (text === undefined) return { outcome: 'wrong', reason: 'empty password, or none in UTF-8' };
    const until = performance.now() + this.#config.timeout;
    try {
      const found = await this.#lookups.findNow({ login: userKey(login) }, until);
      const [entry, another] = found.filter((one) => hasLogin(one, userKey(login)));
      if (entry === undefined) return { outcome: 'wrong', reason: 'no longer in LDAP' };
      if (another !== undefined) return { outcome: 'wrong', reason: 'several entries of LDAP have this name' };
      await this.#servers.runAlone((connection) => connection.bind(entry.dn, text, until), until);
      return { outcome: 'right' };
    } catch (error) {
      const reason = errorText(error);
      if (error instanceof LdapTrouble) return { outcome: 'unchecked', reason: `LDAP: ${reason}` };
      if (!(error instanceof LdapResult)) throw error;
      return WRONG.includes(error.code)
        ? { outcome: 'wrong', reason: `wrong password: LDAP answers ${reason}` }
        : { outcome: 'unchecked', reason: `LDAP answers ${reason}` };
    }
  }
}

type Asking = { question: Question; directory: Directory; entries: LdapEntries; missing: Wanted[] };

/** undefined: empty, or not the UTF-8 that a bind takes (RFC 4513 §5.1.3). */
function textOf(password: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(password) || undefined;
  } catch {
    return undefined;
  }
}
