import type { DomainRecord, KeyRecord } from '#services/credential-store/records/domain-record.ts';
import type { KeyState } from '#shared/keys/key.ts';
import type { Cluster } from './cluster.ts';
import type { Entry } from './log.ts';
import { nameOf, type SimulatedNode } from './node.ts';

/** What must hold at every change of the log, at every signature, and whenever a record leaves DNS. */

const ORDER: readonly KeyState[] = [
  'created',
  'replicated',
  'published',
  'proven',
  'active',
  'retiring',
  'retired',
  'revoked',
];
/** A node that is up and connected for so long is known to be live by all that may drive. */
const STABLE_MS = 6000;
/** Two clocks differ by so much. */
const CLOCKS_MS = 2000;

export class Invariants {
  readonly violations: string[] = [];
  /** How often something happened: a run in which nothing does shows nothing. */
  readonly counts = new Map<string, number>();
  readonly #cluster: Cluster;
  readonly #terms = new Map<string, string>();
  readonly #proven = new Set<string>();
  readonly #compromised = new Set<string>();
  readonly #retiringSince = new Map<string, number>();
  readonly #lastSigned = new Map<string, number>();
  readonly #fingerprints = new Set<string>();
  readonly #names = new Set<string>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.log.onEntry((entry) => this.#checkEntry(entry));
    cluster.dns.onLoss = (name, publicKey) => this.#checkLoss(name, publicKey);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  violated(text: string): void {
    this.violations.push(`at ${Math.round(this.#cluster.time.now)} ms: ${text}`);
  }

  /** A node signs mail with every key that its signers take for active; the mail is verified immediately. */
  sign(node: SimulatedNode): void {
    const { dns, time } = this.#cluster;
    if (!node.up) return;
    for (const { domain, keys } of node.signerRecords.values()) {
      for (const key of keys.filter((k) => k.state === 'active')) {
        const name = nameOf(domain, key);
        if (!this.#proven.has(key.fingerprint)) this.violated(`${node.name} signs with ${name}, which is not proven`);
        // A node that came back when the key was retiring, or is away, knows no better, and no node waited for it.
        const asOf = this.#retiringSince.get(key.fingerprint) ?? time.now;
        if (!node.connected || node.mute || node.since + STABLE_MS > asOf || this.#compromised.has(key.fingerprint))
          continue;
        this.count('signature');
        this.#lastSigned.set(key.fingerprint, time.now);
        if (key.publication.by === 'none' || dns.touched.has(name) || dns.everywhere(name, key.publicKey)) continue;
        this.violated(`${node.name} signs with ${name}, which a verifier does not find`);
      }
    }
  }

  #checkEntry({ domain, before, after, writer }: Entry): void {
    if (writer.role === 'driver') this.#checkDriver(domain, before, after, writer.life);
    for (const key of after.keys) {
      this.#checkKey(domain, before, after, key);
      this.#remember(before, key);
    }
    for (const key of before?.keys ?? []) {
      if (after.keys.some((k) => k.selector === key.selector)) continue;
      this.count('deleted');
      if (key.state !== 'revoked') this.violated(`${key.selector} of ${domain} is gone from ${key.state}`);
    }
    const signed = before?.keys.some((k) => k.state === 'active') ?? false;
    if (signed && !after.keys.some((k) => k.state === 'active') && !writer.forced) {
      this.violated(`${domain} has no active key any more, by ${writer.role} of ${writer.life}`);
    }
    this.#checkRotation(domain, before, after);
  }

  /** Only one process writes in a term. */
  #checkDriver(domain: string, before: DomainRecord | undefined, after: DomainRecord, life: string): void {
    const { driver } = after;
    const id = `${domain} ${driver?.term}`;
    if (before?.driver?.term !== driver?.term) {
      this.count('claim');
      this.#terms.set(id, life);
    } else if (this.#terms.get(id) !== life) {
      this.violated(`${life} writes ${domain} in term ${driver?.term}, which is that of ${this.#terms.get(id)}`);
    }
  }

  #checkKey(domain: string, before: DomainRecord | undefined, after: DomainRecord, key: KeyRecord): void {
    const was = before?.keys.find((k) => k.selector === key.selector);
    const what = `${key.selector} of ${domain}`;
    if (was === undefined) this.#checkNew(domain, key);
    else if (was.fingerprint !== key.fingerprint) this.violated(`${what} became another key`);
    else if (!mayFollow(was.state, key.state)) this.violated(`${what} went from ${was.state} to ${key.state}`);
    const erased = ORDER.indexOf(key.state) >= ORDER.indexOf('retired');
    if (erased !== (key.wrapped === undefined))
      this.violated(`${what} is ${key.state}, its private key should not be there, or is missing`);
    if (key.state === 'active' && !key.signed) this.violated(`${what} is active and did not sign`);
    // `stopped`: every live node has taken notice of the retirement.
    if (was?.until === undefined && key.until !== undefined && key.state === 'retiring') {
      this.#everyNode(
        `${what} has its time`,
        after,
        (r) => !r.keys.some((k) => k.selector === key.selector && k.state === 'active'),
      );
    }
  }

  #checkNew(domain: string, key: KeyRecord): void {
    this.count('created');
    const name = nameOf(domain, key);
    const used = this.#names.has(name);
    this.#names.add(name);
    if (used && key.publication.by !== 'cname') this.violated(`${key.selector} of ${domain} is used again`);
    if (used) this.count('used again');
    if (key.state !== 'created') this.violated(`${key.selector} of ${domain} begins as ${key.state}`);
    if (this.#fingerprints.has(key.fingerprint)) this.violated(`the key of ${name} was there before`);
    this.#fingerprints.add(key.fingerprint);
  }

  #remember(before: DomainRecord | undefined, { selector, fingerprint, state }: KeyRecord): void {
    const was = before?.keys.find((k) => k.selector === selector)?.state;
    if (was === state) return;
    this.count(state);
    if (state === 'proven') this.#proven.add(fingerprint);
    if (state === 'active') this.#retiringSince.delete(fingerprint);
    if (state === 'retiring') this.#retiringSince.set(fingerprint, this.#cluster.time.now);
    // Not at its time but by order: it is compromised.
    if (state === 'retired' && (was !== 'retiring' || this.#cluster.log.entries.at(-1)?.writer.role === 'admin')) {
      this.#compromised.add(fingerprint);
    }
  }

  #checkRotation(domain: string, before: DomainRecord | undefined, after: DomainRecord): void {
    const [was, is] = [before?.rotation, after.rotation];
    if (is !== undefined && is.id !== was?.id) this.#checkStart(before, after, is.by);
    if (is === undefined || is.id !== was?.id) return;
    const signsWithNew = (record: DomainRecord): boolean =>
      is.to.every((s) => record.keys.some((k) => k.selector === s && k.state === 'active'));
    if (is.switched !== undefined && was.switched === undefined) {
      this.count('switched');
      this.#everyNode(`the rotation of ${domain} has switched`, after, signsWithNew);
    }
    if (is.ended !== undefined && was.ended?.how !== is.ended.how) {
      this.count(is.ended.how);
      if (is.ended.how === 'done') this.#everyNode(`the rotation of ${domain} is done`, after, signsWithNew);
    }
  }

  /** A scheduled rotation starts only while no other domain is before its switch, unless its schedule says `parallel`. */
  #checkStart(before: DomainRecord | undefined, after: DomainRecord, by: string): void {
    const others = this.#cluster.log.all().filter((r) => r.domain !== after.domain);
    const busy = others.some((r) => r.rotation && r.rotation.ended === undefined && r.rotation.switched === undefined);
    if (by !== 'schedule') return;
    this.count('scheduled');
    if (busy && before?.schedule?.parallel !== true) this.violated(`${after.domain} is rotated beside another domain`);
  }

  /** The signers of every node that surely lives hold a record like this. */
  #everyNode(what: string, { domain }: DomainRecord, holds: (record: DomainRecord) => boolean): void {
    const { nodes, time } = this.#cluster;
    for (const node of nodes) {
      const record = node.signerRecords.get(domain);
      if (!node.up || !node.connected || node.mute || node.since + STABLE_MS > time.now) continue;
      if (record === undefined || !holds(record)) this.violated(`${what}, but ${node.name} has not heard of it`);
    }
  }

  /** We take the record of a key out of DNS, or empty it. */
  #checkLoss(name: string, publicKey: string): void {
    const { log, time, timing } = this.#cluster;
    const key = log
      .all()
      .flatMap((r) => r.keys)
      .find((k) => k.publicKey === publicKey);
    if (key !== undefined && key.state !== 'retired' && key.state !== 'revoked') {
      this.violated(`the record ${name} is taken away while its key is ${key.state}`);
    }
    const last = this.#lastSigned.get(publicKey);
    if (last === undefined || this.#compromised.has(publicKey)) return;
    this.count('revoked after its time');
    const stood = time.now - last;
    if (stood < timing.retireAfterMs - CLOCKS_MS) {
      this.violated(`the record ${name} is taken away ${Math.round(stood)} ms after the last signature`);
    }
  }
}

function mayFollow(was: KeyState, is: KeyState): boolean {
  if (was === is || (was === 'retiring' && is === 'active')) return true;
  const [from, to] = [ORDER.indexOf(was), ORDER.indexOf(is)];
  return to === from + 1 || (is === 'retired' && from < to);
}
