import { isPlainVia } from '#cluster/config/schema/route.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { withParents } from '#shared/address/domains.ts';
import { type Directive, type DirectiveSubject, LONGEST_DIRECTIVE_MS } from '#shared/directive.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { DirectiveDisk } from './disk.ts';

/**
 * What operators have told the routers to do: suspend the mail to a domain, to a destination or of a sender, redirect that
 * of a domain. Every router has all directives, in memory and on disk, and keeps to them by itself: while the bus is away, and
 * after a restart.
 *
 * An operator tells one router. It writes the directive to its disk, answers, and announces it; a router that does not hear
 * of it asks later (gossip/gossip.ts).
 *
 * There is one directive for each subject (kind, what it is about, name). The later one counts: that with the later `at`; of
 * two with the same time that which ends, then the greater text, so that all routers choose the same one. A router stamps
 * a directive with its clock, and never before what it knows of the subject. So the last word of an operator counts who
 * has heard the one before, whatever the clocks; of two who tell two routers at the same time, that with the later clock.
 *
 * Directives end by themselves: each has a time, at most 90 days on. A router that was away may come back with a directive
 * that was ended or replaced meanwhile. So what ends one is a record too, and every record is kept until the latest time that
 * any one for its subject had (`keep`): after that no former one means anything.
 */

/** Directives that a router has, those that are over but kept included. */
const MOST = 2000;
const DAY_MS = 86_400_000;
/** Longest wait for the next end: a timer takes no longer one. */
const LONGEST_WAIT_MS = 3_600_000;

export type NewDirective = DirectiveSubject & Pick<Directive, 'by' | 'reason' | 'via'> & { forMs: number };

export type DirectivesDeps = { disk: DirectiveDisk; log: Logger; now?: (() => number) | undefined };

/** Which mail is asked about. */
export type MailOf = { domain: string; reversePath: string; hop: string | undefined };

export class Directives {
  readonly #disk: DirectiveDisk;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #records = new Map<string, Directive>();
  /** Those in force, by the key of their subject. */
  #inForce = new Map<string, Directive>();
  readonly #listeners = new Set<(changed: readonly Directive[]) => void>();
  #tell: ((directives: Directive[]) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Changes whenever what is in force does. */
  revision = 0;

  private constructor({ disk, log, now = Date.now }: DirectivesDeps) {
    this.#disk = disk;
    this.#log = log;
    this.#now = now;
  }

  /** With what is on disk. Rejects as the store does. */
  static async open(deps: DirectivesDeps): Promise<Directives> {
    const directives = new Directives(deps);
    for (const record of await deps.disk.load()) directives.#take(record);
    directives.#refresh();
    return directives;
  }

  /** None is in force. */
  get idle(): boolean {
    return this.#inForce.size === 0;
  }

  /** Those in force, in the order of their subjects. */
  get list(): Directive[] {
    return [...this.#inForce.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }

  /** All that are kept, in an order of which `after` names the last that is known. */
  records(after: string | undefined, most: number): { records: Directive[]; next?: string } {
    const rest = [...this.#records].filter(([key]) => after === undefined || key > after);
    const page = rest.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, most);
    const last = page.at(-1)?.[0];
    return {
      records: page.map(([, one]) => one),
      ...(page.length < rest.length && last !== undefined && { next: last }),
    };
  }

  /** The directive that keeps mail back, if there is one. */
  suspension({ domain, reversePath, hop }: MailOf): Directive | undefined {
    if (this.idle) return undefined;
    const found = this.#nearest('suspend!domain', normalizeDomain(domain));
    if (found !== undefined) return found;
    if (reversePath !== '') {
      const address = mailboxKey(canonicalAddress(reversePath));
      const sender =
        this.#inForce.get(`suspend!sender!${address}`) ??
        this.#nearest('suspend!sender', normalizeDomain(domainOf(address)));
      if (sender !== undefined) return sender;
    }
    if (hop === undefined) return undefined;
    const end = hop.indexOf(' (');
    const plain = end < 0 ? undefined : this.#inForce.get(`suspend!destination!${hop.slice(0, end)}`);
    return this.#inForce.get(`suspend!destination!${hop}`) ?? plain;
  }

  /** Where the mail of a domain (normalized) goes instead. */
  redirect(domain: string): Directive | undefined {
    return this.idle ? undefined : this.#nearest('redirect!domain', domain);
  }

  /** Whether a directive, by the key of its subject, is in force. */
  has(key: string): boolean {
    return this.#inForce.has(key);
  }

  /** Take an operator's word; resolves when it is on disk. Throws `invalid-directive` and `too-many-directives`; rejects as the store does. */
  async set({ forMs, ...given }: NewDirective): Promise<Directive> {
    const subject = named(given);
    if (given.kind === 'redirect') checkRedirect(given);
    const known = this.#records.get(keyOf(subject));
    if (known === undefined && this.#records.size >= MOST)
      throw new SealpostError(
        'too-many-directives',
        `there are ${MOST} directives: end some, "sealpost queue directives" lists them`,
      );
    const now = this.#now();
    const until = now + Math.min(forMs, LONGEST_DIRECTIVE_MS);
    const { by, reason, via } = given;
    return this.#decide({
      ...subject,
      ...at(now, known),
      until,
      keep: Math.max(until, known?.keep ?? 0),
      by,
      reason,
      via,
    });
  }

  /** End a directive. Throws `not-found` where none is in force; rejects as the store does. */
  async end(given: DirectiveSubject, by: string): Promise<Directive> {
    const subject = named(given);
    const known = this.#inForce.get(keyOf(subject));
    if (known === undefined) {
      const what = subject.kind === 'suspend' ? 'suspended' : 'redirected';
      throw new SealpostError(
        'not-found',
        `${subject.about} ${subject.name} is not ${what}: "sealpost queue directives" lists what is`,
      );
    }
    await this.#decide({ ...known, ...at(this.#now(), known), by, ended: true });
    return known;
  }

  /** Take what another router has. One that is not on disk after this is learned again after a restart. */
  learn(record: Directive): void {
    const now = this.#now();
    // A clock that is ahead by more than a day would keep operators from ending it.
    if (record.keep <= now || record.at > now + DAY_MS || record.until > record.at + LONGEST_DIRECTIVE_MS + DAY_MS)
      return;
    if (!this.#records.has(keyOf(record)) && this.#records.size >= MOST) return;
    if (!this.#take(record)) return;
    this.#refresh();
    const kept = this.#records.get(keyOf(record)) ?? record;
    this.#disk
      .write([kept])
      .catch((error: unknown) => this.#log.warn({ err: error }, 'a directive of an operator is not on disk'));
  }

  /** Give what is decided here to `tell`, from now on. */
  tellWith(tell: ((directives: Directive[]) => void) | undefined): void {
    this.#tell = tell;
  }

  /** Hear of what has come into force, or is not any more. */
  onChange(listener: (changed: readonly Directive[]) => void): void {
    this.#listeners.add(listener);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  async #decide(record: Directive): Promise<Directive> {
    await this.#disk.write([record]);
    this.#take(record);
    this.#refresh();
    this.#tell?.([record]);
    const { kind, about, name, by, until, reason, via, ended } = record;
    this.#log.info({ kind, about, name, by, until, reason, via, ended }, 'an operator gave a directive');
    return record;
  }

  #take(record: Directive): boolean {
    const known = this.#records.get(keyOf(record));
    const keep = Math.max(record.keep, known?.keep ?? 0);
    const later = known === undefined || isLater(record, known) ? record : known;
    if (later === known && keep === known.keep) return false;
    this.#records.set(keyOf(record), { ...later, keep });
    return true;
  }

  /** Forget what is over, and tell who listens where other directives are in force. */
  #refresh(): void {
    if (this.#stopped) return;
    const now = this.#now();
    const over = [...this.#records.values()].filter(({ keep }) => keep <= now);
    for (const record of over) this.#records.delete(keyOf(record));
    if (over.length > 0) this.#disk.remove(over).catch(() => undefined);
    const inForce = new Map([...this.#records].filter(([, { until, ended }]) => until > now && ended !== true));
    const changed = [...differing(inForce, this.#inForce), ...differing(this.#inForce, inForce)];
    this.#inForce = inForce;
    this.#await(now);
    if (changed.length === 0) return;
    this.revision++;
    for (const listener of this.#listeners) listener(changed);
  }

  /** Look again when the next one ends. */
  #await(now: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#records.size === 0) return;
    const next = Math.min(...[...this.#records.values()].map(({ until, keep }) => (until > now ? until : keep)));
    const wait = Math.min(Math.max(next - now, 0) + 1, LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => this.#refresh(), wait).unref();
  }

  #nearest(prefix: string, domain: string): Directive | undefined {
    for (const name of withParents(domain)) {
      const found = this.#inForce.get(`${prefix}!${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The key of a subject; a record of the store has it too. */
export const keyOf = ({ kind, about, name }: DirectiveSubject): string => `${kind}!${about}!${name}`;

/** The subject with its name as it is compared. */
function named({ kind, about, name }: DirectiveSubject): DirectiveSubject {
  if (about === 'destination') return { kind, about, name };
  return { kind, about, name: name.includes('@') ? mailboxKey(canonicalAddress(name)) : normalizeDomain(name) };
}

/** Those of some directives that others do not have. */
function differing(some: ReadonlyMap<string, Directive>, others: ReadonlyMap<string, Directive>): Directive[] {
  return [...some].flatMap(([key, one]) => (others.get(key) === one ? [] : [one]));
}

/** Not before what is known of the subject. */
function at(now: number, known: Directive | undefined): { at: number } {
  return { at: Math.max(now, (known?.at ?? 0) + 1) };
}

function isLater(a: Directive, b: Directive): boolean {
  if (a.at !== b.at) return a.at > b.at;
  if ((a.ended === true) !== (b.ended === true)) return a.ended === true;
  return textOf(a) > textOf(b);
}

function textOf({ until, by, reason, via }: Directive): string {
  return JSON.stringify([until, by, reason, via]);
}

/** Throws `invalid-directive`. */
function checkRedirect({ about, via = '' }: Pick<Directive, 'about' | 'via'>): void {
  if (about === 'domain' && isPlainVia(via)) return;
  throw new SealpostError(
    'invalid-directive',
    'mail of a domain is redirected to smtp[s]://host[:port], lmtp://host[:port] or mx, without a user',
  );
}
