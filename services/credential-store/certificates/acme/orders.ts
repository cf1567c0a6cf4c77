import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import { errorCode, errorText, reasonText } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { CertificateRecord } from '../../records/certificate-record.ts';
import type { CertificateDeps } from '../deps.ts';
import type { Challenge } from './dns-challenge.ts';
import { issue } from './issue.ts';
import { dueReason, nextTry } from './schedule.ts';

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
 * What listeners use is replaced only by a certificate that passed their own checks (issue.ts); an order that fails changes
 * nothing but the reason in the record, and is tried again later. A node that dies leaves its claim; another live one takes
 * it over, and the records that it may have left in DNS.
 */

const SCAN_MS = 1000;
/** How long each node leaves a claim to the one before it. */
const TURN_MS = 3000;

export type OrdersDeps = CertificateDeps & {
  /** The live processes; undefined while this one may not act. */
  live: () => Holder[] | undefined;
};

type Acme = NonNullable<CertificateRecord['acme']>;

export class Orders {
  readonly #deps: OrdersDeps;
  readonly #node: string;
  /** When each certificate was first seen due, by `performance.now`. */
  readonly #dueSince = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #ordering = false;
  #closed = false;

  constructor(deps: OrdersDeps) {
    this.#deps = deps;
    this.#node = deps.settings.current.node.name;
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
      for (const entry of settings.current.certificates) {
        const record = certificates.get(entry.name);
        const reason = dueReason(record, entry, Date.now());
        if (reason === undefined) this.#dueSince.delete(entry.name);
        else if (this.#isMyTurn(entry.name, record?.acme)) await this.#order(entry, record?.acme, reason);
      }
    } catch (error) {
      log.warn({ error: errorText(error) }, 'certificates could not be ordered, it is tried again');
    } finally {
      this.#ordering = false;
    }
  }

  /** The first live node claims; after a failure the next one. */
  #isMyTurn(name: string, acme: Acme | undefined): boolean {
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

  async #order(entry: OrderedCertificate, seen: Acme | undefined, reason: string): Promise<void> {
    const { log } = this.#deps;
    const { name } = entry;
    const claimed = await this.#claim(name, seen);
    if (claimed === undefined) return;
    this.#dueSince.delete(name);
    const { term } = claimed;
    log.info(
      { certificate: name, names: entry.names, authority: entry.acme.directory, reason },
      'certificate is ordered',
    );
    try {
      const remember = async (challenges: readonly Challenge[]): Promise<void> => {
        await this.#write(name, term, (record) => withAcme(record, { challenges: [...challenges] }));
      };
      const { chain, wrapped } = await issue({ ...this.#deps, remember }, entry, claimed.challenges ?? []);
      const current = { chain, wrapped, origin: 'acme' as const, since: Date.now(), node: this.#node };
      await this.#write(name, term, (record) => ({ ...record, current, acme: { term } }));
      log.info({ certificate: name, names: entry.names }, 'certificate issued: listeners use it for new sessions');
    } catch (error) {
      await this.#fail(name, term, error);
    }
  }

  /** Undefined: another node was faster. */
  async #claim(name: string, seen: Acme | undefined): Promise<Acme | undefined> {
    let mine: Acme | undefined;
    await this.#deps.certificates
      .update(name, (record = { name }) => {
        mine = undefined;
        if (record.acme?.term !== seen?.term || record.acme?.node !== seen?.node) throw new Overtaken();
        mine = { ...record.acme, node: this.#node, term: (seen?.term ?? 0) + 1 };
        return { ...record, acme: mine };
      })
      .catch((error: unknown) => {
        mine = undefined;
        if (!(error instanceof Overtaken)) throw error;
      });
    return mine;
  }

  async #fail(name: string, term: number, error: unknown): Promise<void> {
    if (this.#closed || error instanceof Overtaken || errorCode(error) === 'no-quorum') return;
    const text = reasonText(error);
    const now = Date.now();
    await this.#write(name, term, (record) => {
      const before = record.acme?.problem;
      const tries = (before?.tries ?? 0) + 1;
      const problem = { text, since: before?.since ?? now, at: now, tries, next: nextTry(tries, now, Math.random()) };
      const { node: _, asked: _asked, ...rest } = record.acme ?? { term };
      return { ...record, acme: { ...rest, problem } };
    });
    this.#deps.log.error({ certificate: name, error: text }, 'certificate not issued: the one before stays in use');
  }

  /** Write as who claimed it with this term. Fails with `Overtaken`, or as a change does. */
  async #write(name: string, term: number, change: (record: CertificateRecord) => CertificateRecord): Promise<void> {
    await this.#deps.certificates.update(name, (record) => {
      if (this.#closed || record?.acme?.node !== this.#node || record.acme.term !== term) throw new Overtaken();
      return change(record);
    });
  }
}

const withAcme = (record: CertificateRecord, change: Partial<Acme>): CertificateRecord => ({
  ...record,
  acme: { term: 0, ...record.acme, ...change },
});

/** The record names another node, or another term of this one. */
class Overtaken extends Error {}
