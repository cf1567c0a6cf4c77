import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import { errorCode, errorText, reasonText } from '#shared/errors.ts';
import { cut } from '#shared/text.ts';
import type { AcmeState, CertificateRecord } from '../../records/certificate-record.ts';
import type { CertificateDeps } from '../deps.ts';
import { removeChallenge } from './dns-challenge.ts';
import type { HttpChallengeDeps } from './http-challenge.ts';
import { issue } from './issue.ts';
import { dueReason, isAsked, isSoon, nextTry } from './schedule.ts';
import { Suggestions } from './suggestions.ts';

/**
 * Orders the certificates of the section `certificates`, and renews them. One node orders for all: it claims the
 * certificate in its record, by compare-and-set; each claim has a higher term, and only who finds its own node and term in
 * the record writes what came of the order. So of two nodes one orders, and one that was cut off changes nothing.
 *
 * A certificate, as one node sees it:
 *
 *   idle      not due (schedule.ts), or another live node orders, or this node does not know which nodes are live.
 *             Looked at each second and at each change. → due
 *   due       for so long that it is this node's turn: nodes claim one after another, and after an order that failed the
 *             next one comes first, since its network may be better. → ordering, when its claim is written
 *   ordering  one at a time. → idle, when the new certificate, or why there is none, is written
 *
 * What listeners use is replaced only by a certificate that passed their own checks (issue.ts), and not where an administrator
 * imported another one meanwhile; an order that fails changes nothing but the reason in the record, and is tried again later.
 *
 * A node that dies leaves its claim, and what it had begun in the record: the order at the authority, which another live
 * node goes on with, and the TXT records, which it takes away. How often an order failed stays, so the pauses do too. TXT
 * records that could not be taken away, also those of a certificate that was deleted meanwhile, and a claim on what nobody
 * orders any more, are left to `#tidy`.
 */

const SCAN_MS = 1000;
/** How long each node leaves a claim to the one before it. */
const TURN_MS = 3000;
/** Of the reason why an order failed: an authority may answer with a whole page, and every node keeps it. */
const LONGEST_REASON = 1000;
/** Between two attempts to take away what an order left. */
const TIDY_AGAIN_MS = 60_000;

/** `live`: the live processes; undefined while this one may not act. */
export type OrdersDeps = CertificateDeps & HttpChallengeDeps & Pick<CertificateDeps, 'map'>;

export class Orders {
  readonly #deps: OrdersDeps;
  readonly #node: string;
  /** When each certificate was first seen due, by `performance.now`. */
  readonly #dueSince = new Map<string, number>();
  /** When each certificate is tidied again, by the same clock. */
  readonly #tidyAt = new Map<string, number>();
  readonly #suggestions: Suggestions;
  #timer: NodeJS.Timeout | undefined;
  #ordering = false;
  #closed = false;

  constructor(deps: OrdersDeps) {
    this.#deps = deps;
    this.#node = deps.settings.current.node.name;
    this.#suggestions = new Suggestions(deps);
  }

  start(): void {
    this.#timer = setInterval(() => void this.#scan(), SCAN_MS).unref();
  }

  /** An order under way is left; whoever comes next begins again. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #scan(): Promise<void> {
    const { settings, certificates, log } = this.#deps;
    if (this.#ordering || this.#closed) return;
    this.#ordering = true;
    try {
      const due = new Set<string>();
      for (const entry of settings.current.certificates) {
        const record = certificates.get(entry.name);
        const reason = dueReason(record, entry, Date.now());
        if (reason === undefined) {
          if (record !== undefined) await this.#askWhen(entry, record);
          continue;
        }
        due.add(entry.name);
        if (this.#isMyTurn(entry.name, record?.acme)) await this.#order(entry, record?.acme, reason);
      }
      for (const record of certificates.all()) {
        const { name, acme } = record;
        if (due.has(name)) continue;
        if (!isUntidy(acme)) this.#dueSince.delete(name);
        else if (performance.now() >= (this.#tidyAt.get(name) ?? 0) && this.#isMyTurn(name, acme)) {
          await this.#tidy(name, acme);
        }
      }
    } catch (error) {
      log.warn({ error: errorText(error) }, 'certificates could not be ordered, it is tried again');
    } finally {
      this.#ordering = false;
    }
  }

  /** Ask the authority when it wants a certificate to be renewed, where it is time and nobody orders it. */
  async #askWhen(entry: OrderedCertificate, record: CertificateRecord): Promise<void> {
    const turn = `suggestion ${entry.name}`;
    if (record.acme?.node !== undefined || !this.#suggestions.isDue(record, Date.now())) this.#dueSince.delete(turn);
    else if (this.#isMyTurn(turn, undefined)) {
      this.#dueSince.delete(turn);
      await this.#suggestions.ask(entry, record);
    }
  }

  /** The first live node claims; after a failure the next one. */
  #isMyTurn(name: string, acme: AcmeState | undefined): boolean {
    const { map, live } = this.#deps;
    const holders = live();
    if (holders === undefined) return false;
    if (map.state === 'local') return true;
    const stores = holders.filter(({ kind, behind }) => kind === 'credential-store' && behind === undefined);
    const nodes = [...new Set([...stores.map(({ node }) => node), this.#node])].toSorted();
    if (acme?.node !== undefined && acme.node !== this.#node && nodes.includes(acme.node)) return false;
    const since = this.#dueSince.get(name) ?? performance.now();
    this.#dueSince.set(name, since);
    const tries = acme?.problem?.tries ?? 0;
    const turn = (nodes.indexOf(this.#node) + nodes.length - (tries % nodes.length)) % nodes.length;
    return performance.now() - since >= turn * TURN_MS;
  }

  async #order(entry: OrderedCertificate, seen: AcmeState | undefined, reason: string): Promise<void> {
    const { certificates, log } = this.#deps;
    const { name } = entry;
    const before = certificates.get(name)?.current?.chain;
    const claimed = await this.#claim(name, seen);
    if (claimed === undefined) return;
    this.#dueSince.delete(name);
    const { term } = claimed;
    log.info(
      { certificate: name, names: entry.names, authority: entry.acme.directory, reason },
      'certificate is ordered',
    );
    try {
      const remember = (part: Partial<AcmeState>): Promise<void> =>
        this.#write(name, term, (record) => ({ ...record, acme: { term, ...record.acme, ...part } }));
      const { chain, wrapped } = await issue({ ...this.#deps, remember }, entry, claimed);
      const current = { chain, wrapped, origin: 'acme' as const, since: Date.now(), node: this.#node };
      let taken = true;
      await this.#write(name, term, ({ acme, ...record }) => {
        taken = record.current?.chain === before;
        // The one that was imported meanwhile may have another key, whose TLSA record alone is in DNS.
        if (!taken) return { ...record, acme: { term, ...leftOf(acme) } };
        const soon = !isAsked(claimed) && isSoon(record, Date.now()) ? { soon: (acme?.soon ?? 0) + 1 } : {};
        return { ...record, current, acme: { term, ...soon, ...leftOf(acme) } };
      });
      const what = taken ? 'listeners use it for new sessions' : 'another one was imported meanwhile, which stays';
      log.info({ certificate: name, names: entry.names }, `certificate issued: ${what}`);
    } catch (error) {
      await this.#fail(name, term, error);
    }
  }

  /** Undefined: another node was faster. */
  async #claim(name: string, seen: AcmeState | undefined): Promise<AcmeState | undefined> {
    let mine: AcmeState | undefined;
    await this.#deps.certificates
      .update(name, (record = { name }) => {
        mine = undefined;
        if (record.acme?.term !== seen?.term || record.acme?.node !== seen?.node) throw new Overtaken();
        mine = { ...record.acme, node: this.#node, term: (seen?.term ?? 0) + 1 };
        return { ...record, deleted: undefined, acme: mine };
      })
      .catch((error: unknown) => {
        mine = undefined;
        if (!(error instanceof Overtaken)) throw error;
      });
    return mine;
  }

  async #fail(name: string, term: number, error: unknown): Promise<void> {
    if (this.#closed || error instanceof Overtaken || errorCode(error) === 'no-quorum') return;
    const text = cut(reasonText(error), LONGEST_REASON);
    const now = Date.now();
    await this.#write(name, term, (record) => {
      const before = record.acme?.problem;
      const tries = (before?.tries ?? 0) + 1;
      const problem = { text, since: before?.since ?? now, at: now, tries, next: nextTry(tries, now, Math.random()) };
      const { node: _, asked: _asked, tokens: _tokens, ...rest } = record.acme ?? { term };
      return { ...record, acme: { ...rest, problem } };
    });
    this.#deps.log.error({ certificate: name, error: text }, 'certificate not issued: the one before stays in use');
  }

  /** Take away what is in DNS though nobody orders any more, and the claim of a node that died. */
  async #tidy(name: string, seen: AcmeState): Promise<void> {
    const { settings, certificates, log } = this.#deps;
    this.#tidyAt.set(name, performance.now() + TIDY_AGAIN_MS);
    this.#dueSince.delete(name);
    const left: Required<AcmeState>['challenges'] = [];
    for (const challenge of seen.challenges ?? []) {
      try {
        await removeChallenge(settings.current, challenge);
      } catch (error) {
        left.push(challenge);
        const text = 'TXT record of an order could not be removed: it is tried again';
        log.warn({ certificate: name, record: challenge.name, error: errorText(error) }, text);
      }
    }
    if (left.length === 0) this.#tidyAt.delete(name);
    await certificates.update(name, (record) => {
      if (record?.acme === undefined || record.acme.term !== seen.term || record.acme.node !== seen.node) return record;
      if (record.deleted && left.length === 0) return undefined;
      const { node: _, tokens: _tokens, challenges: _challenges, ...acme } = record.acme;
      return { ...record, acme: { ...acme, ...leftOf({ challenges: left }) } };
    });
  }

  /** Write as who claimed it with this term. Fails with `Overtaken`, or as a change does. */
  async #write(name: string, term: number, change: (record: CertificateRecord) => CertificateRecord): Promise<void> {
    await this.#deps.certificates.update(name, (record) => {
      if (this.#closed || record?.acme?.node !== this.#node || record.acme.term !== term) throw new Overtaken();
      return change(record);
    });
  }
}

/** Something is left of an order: TXT records, or a claim. */
const isUntidy = (acme: AcmeState | undefined): acme is AcmeState =>
  acme !== undefined && (acme.node !== undefined || (acme.challenges?.length ?? 0) > 0);

/** The TXT records that could not be taken away. */
const leftOf = ({ challenges = [] }: Pick<AcmeState, 'challenges'> = {}): Pick<AcmeState, 'challenges'> =>
  challenges.length === 0 ? {} : { challenges };

/** The record names another node, or another term of this one. */
class Overtaken extends Error {}
