import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { SigningKey } from '#shared/keys/key.ts';
import type { Logger } from '#shared/log.ts';
import { publicationFor } from './dns/publication.ts';
import type { DomainRecord, KeyRecord } from './records/domain-record.ts';
import type { Records } from './records/records.ts';

/**
 * Keys that an earlier version of Sealpost, one without a cluster, stored on this node. They are taken over into the
 * replicated records as the active keys that they are. In the LevelDB of the store:
 *
 *   key!<domain>!<selector>   JSON { version: 1, key: SigningKey, digest }, digest = SHA-256 of key's JSON, hex
 *
 * As soon as this node follows the others, each key is added to the record of its domain in one compare-and-set, then
 * its old record is deleted. The process may end between the two: a key that the domain already has is not added again.
 * Of two nodes that had different keys under one name the first one wins; the key of the other stays in its old record
 * and is reported, and so is a damaged one. Until every key was tried once, signers get the old keys beside those of the
 * records, and this node changes nothing else: a new key might take the name of one that signs.
 */
const KEYS = { gte: 'key!', lt: 'key"' };

/** Every key of that version signed: it had no other state. */
const Stored = z.object({
  version: z.literal(1),
  key: SigningKey.extend({ state: z.literal('active') }),
  digest: z.string(),
});

type Earlier = { record: string; domain: string; key: KeyRecord };
type EarlierKeysDeps = { store: Store; settings: Settings; log: Logger };

export class EarlierKeys {
  readonly #deps: EarlierKeysDeps;
  #left: Earlier[] = [];
  /** Each key was tried once. */
  #tried = false;
  #inProgress: Promise<void> | undefined;
  #closed = false;
  #reported = new Map<string, string>();

  private constructor(deps: EarlierKeysDeps) {
    this.#deps = deps;
  }

  /** Read what there is. A damaged record is reported and stays. Fails with `store-failed`. */
  static async read(deps: EarlierKeysDeps): Promise<EarlierKeys> {
    const earlier = new EarlierKeys(deps);
    const { store, settings, log } = deps;
    for await (const [record, value] of store.entries(KEYS)) {
      try {
        earlier.#left.push(parse(record, value, settings.current, log));
      } catch (error) {
        const text =
          'a key that an earlier version stored on this node is damaged: it is kept and does not sign; create another one and remove its record from DNS';
        log.error({ record, error: errorText(error) }, text);
      }
    }
    return earlier;
  }

  /** The keys that have not been taken over yet, as the records of their domains. */
  left(records: Pick<Records, 'get'>): DomainRecord[] {
    const left = this.#left.filter(({ domain, key }) => find(records.get(domain), key.selector) === undefined);
    return [...Map.groupBy(left, (e) => e.domain)].map(([domain, keys]) => ({
      domain,
      keys: keys.map((e) => e.key),
      used: [],
    }));
  }

  /** Fails with `store-failed` while there are keys that were not tried. */
  assertTried(): void {
    if (this.#left.length === 0 || this.#tried) return;
    throw new SealpostError(
      'store-failed',
      `${this.#left.length} keys that an earlier version stored on this node have not been taken over yet: try again in a few seconds`,
    );
  }

  /** Take over what can be taken over; to be called, repeatedly, while this node follows the others. Never rejects. */
  takeOver(records: Pick<Records, 'update'>): Promise<void> {
    if (this.#left.length === 0 || this.#closed) return Promise.resolve();
    this.#inProgress ??= this.#takeOverAll(records).finally(() => {
      this.#inProgress = undefined;
    });
    return this.#inProgress;
  }

  /** Resolves when no key is being taken over any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#inProgress;
  }

  async #takeOverAll(records: Pick<Records, 'update'>): Promise<void> {
    for (const earlier of [...this.#left]) {
      if (this.#closed) return;
      try {
        await this.#takeOver(earlier, records);
        this.#left = this.#left.filter((e) => e !== earlier);
      } catch (error) {
        if (errorCode(error) === 'no-quorum') return;
        this.#report(earlier, errorText(error));
      }
    }
    this.#tried = true;
  }

  async #takeOver(earlier: Earlier, records: Pick<Records, 'update'>): Promise<void> {
    const { store, log } = this.#deps;
    const { record, domain, key } = earlier;
    const name = { domain, selector: key.selector, fingerprint: key.fingerprint };
    let other: string | undefined;
    let added = false;
    await records.update(domain, (before) => {
      const fingerprint = find(before, key.selector);
      added = fingerprint === undefined;
      other = fingerprint === key.fingerprint ? undefined : fingerprint;
      if (!added) return before;
      return { domain, used: [], ...before, keys: [...(before?.keys ?? []), key] };
    });
    if (other !== undefined) {
      const text = `the cluster has another key under this name, so this one, which an earlier version stored on this node, does not sign: check with "sealpost keys verify ${domain} ${key.selector}" whether DNS publishes the key of the cluster; if not, replace it with "sealpost keys rotate ${domain}"`;
      log.error({ ...name, cluster: other, record }, text);
      return;
    }
    await store.write([{ type: 'del', key: record }]);
    log.info(
      name,
      added ? 'key of an earlier version taken over' : 'key of an earlier version had been taken over before',
    );
  }

  /** Once for each reason. */
  #report({ record, domain, key }: Earlier, error: string): void {
    if (this.#reported.get(record) === error) return;
    this.#reported.set(record, error);
    const text = 'a key of an earlier version cannot be taken over yet; it signs on this node, and will be tried again';
    this.#deps.log.error({ domain, selector: key.selector, record, error }, text);
  }
}

/** Fingerprint of the key that has, or had, a selector. */
function find(record: DomainRecord | undefined, selector: string): string | undefined {
  return [...(record?.keys ?? []), ...(record?.used ?? [])].find((k) => k.selector === selector)?.fingerprint;
}

function parse(record: string, value: Buffer, config: Config, log: Logger): Earlier {
  const json: unknown = JSON.parse(value.toString());
  const { key, digest } = Stored.parse(json);
  // The digest is over the JSON as it was written; the parsed value may have fewer members.
  const written = JSON.stringify((json as { key: unknown }).key);
  if (createHash('sha256').update(written).digest('hex') !== digest) throw new Error('its digest does not match');
  const { domain, ...info } = key;
  if (`key!${domain}!${key.selector}` !== record) throw new Error(`it is about ${key.selector} of ${domain}`);
  const ttl = Math.max(1, Math.round(config.keys.ttl / 1000));
  const publication = publicationOf(key, config, log);
  return {
    record,
    domain,
    key: { ...info, since: key.created, activate: true, signed: true, publication, ttl },
  };
}

/** Its record is in DNS, whatever the configuration says. */
function publicationOf(key: SigningKey, config: Config, log: Logger): KeyRecord['publication'] {
  try {
    return publicationFor(key, config);
  } catch (error) {
    const { domain, selector } = key;
    const text = 'the DNS record of a key of an earlier version is regarded as published by hand';
    log.warn({ domain, selector, error: errorText(error) }, text);
    return { by: 'manual' };
  }
}
