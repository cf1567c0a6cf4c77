import type { Settings } from '#cluster/config/settings.ts';
import type { KeyName } from '#shared/dkim/key-name.ts';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { Logger } from '#shared/log.ts';
import { isExposed } from '../life/life-cycle.ts';
import type { KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';
import { checkRecord, type ExpectedRecord } from './proof.ts';

/**
 * What this node sees of the keys' records in DNS. It looks when a driver asks, and every minute, so that `keys list`
 * shows the current state and a missing record of an active key is noticed.
 */

/** Which record should be at a key's name. */
export type Expected = 'key' | 'revoked' | 'absent';

/** Verdicts that say nothing of the record. */
const UNKNOWN = new Set<DnsView['verdict']>(['unreachable', 'error']);
export const isUnknown = (seen: DnsView['verdict'] | undefined): boolean => seen === undefined || UNKNOWN.has(seen);

const REFRESH_MS = 60_000;
/** Records that a refresh looks at concurrently. */
const CONCURRENT_LOOKS = 8;

export class DnsViews {
  readonly #settings: Settings;
  readonly #records: Pick<Records, 'all' | 'get'>;
  readonly #log: Logger;
  readonly #last = new Map<string, { fingerprint: string; expected: Expected; view: DnsView }>();
  #timer: NodeJS.Timeout | undefined;
  #refreshing = false;
  #stopped = false;

  constructor(settings: Settings, records: Pick<Records, 'all' | 'get'>, log: Logger) {
    this.#settings = settings;
    this.#records = records;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS).unref();
    void this.#refresh();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  /** The last view, where it was for what the key's state expects now. */
  last(domain: string, key: KeyRecord): DnsView | undefined {
    const seen = this.#last.get(`${key.selector}._domainkey.${domain}`);
    const current = seen?.fingerprint === key.fingerprint && seen.expected === expectedOf(key);
    return current ? seen?.view : undefined;
  }

  /** Ask DNS now. Fails with `not-in-dns` for a key that is never published; an error of DNS is a verdict. */
  async look(domain: string, key: KeyRecord, expected: Expected = expectedOf(key)): Promise<DnsView> {
    const name = dkimRecordName({ domain, selector: key.selector });
    const { publication } = key;
    if (publication.by === 'none') {
      throw new SealpostError(
        'not-in-dns',
        `${domain} is not in DNS (keys.proof: none): there is no record to look at`,
      );
    }
    const { node, dns } = this.#settings.current;
    const options = publication.by === 'cname' ? { cname: publication.target } : {};
    const seen = await checkRecord(dns, name, wanted(key, expected), options);
    const { verdict, summary, servers, at } = seen;
    const view: DnsView = { node: node.name, verdict, summary, servers, at };
    this.#report(domain, key, view);
    this.#last.set(name, { fingerprint: key.fingerprint, expected, view });
    return view;
  }

  /** Look at every record, some concurrently, since servers that do not answer take long. One refresh at a time. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    const names = this.#names();
    const waiting = names.values();
    const looks = Array.from({ length: CONCURRENT_LOOKS }, async () => {
      for (const name of waiting) if (!this.#stopped) await this.#lookAgain(name);
    });
    await Promise.all(looks);
    const known = new Set(names.map(dkimRecordName));
    for (const name of this.#last.keys()) if (!known.has(name)) this.#last.delete(name);
    this.#refreshing = false;
  }

  /** The keys that are in DNS. */
  #names(): KeyName[] {
    return this.#records
      .all()
      .flatMap(({ domain, keys }) =>
        keys.flatMap(({ selector, publication: { by } }) => (by === 'none' ? [] : [{ domain, selector }])),
      );
  }

  /** Never rejects. The key may have another state since the refresh began, or be gone. */
  async #lookAgain({ domain, selector }: KeyName): Promise<void> {
    try {
      const key = this.#records.get(domain)?.keys.find((k) => k.selector === selector);
      if (key !== undefined) await this.look(domain, key);
    } catch (error) {
      this.#log.error({ domain, selector, err: error }, 'could not look at the DNS record of a key');
    }
  }

  /**
   * A wrong record of an active key matters now: verifiers reject the signatures of mail that is sent now. So does that of a
   * compromised key which comes back after its revocation; until that, the driver reports it.
   */
  #report(domain: string, key: KeyRecord, view: DnsView): void {
    const before = this.last(domain, key)?.verdict ?? 'ok';
    const { selector } = key;
    if (isExposed(key, view.verdict) && !isExposed(key, before)) {
      const error = view.summary;
      this.#log.error({ domain, selector, error }, 'a compromised key is in DNS again: forged mail passes');
    }
    if (key.state !== 'active') return;
    if (UNKNOWN.has(view.verdict) && before !== view.verdict) {
      this.#log.warn(
        { domain, selector, error: view.summary },
        'the DNS record of a signing key cannot be seen everywhere',
      );
    } else if (view.verdict !== 'ok' && before !== view.verdict) {
      this.#log.error({ domain, selector, error: view.summary }, 'the DNS record of a signing key is wrong');
    } else if (view.verdict === 'ok' && before !== 'ok') {
      this.#log.info({ domain, selector }, 'the DNS record of a signing key is right again');
    }
  }
}

/** What should be in DNS while a key is in its state; for `retired` and `revoked`, before their next transitions. */
export function expectedOf(key: Pick<KeyRecord, 'state' | 'signed'>): Expected {
  if (key.state === 'revoked' || key.state === 'retired') return key.signed ? 'revoked' : 'absent';
  return key.state === 'deleted' ? 'absent' : 'key';
}

function wanted(key: KeyRecord, expected: Expected): ExpectedRecord {
  return { kind: expected, algorithm: key.algorithm, publicKey: key.publicKey };
}
