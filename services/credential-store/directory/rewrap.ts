import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import type { DirectoryRecord, UserRecord } from '#shared/directory/records.ts';
import { findNek, type Nek } from '#shared/dkim/nek.ts';
import { unwrapSecret, type WrappedSecret, wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { errorText } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { Logger } from '#shared/log.ts';

/**
 * Hashes of passwords follow the current NEK as keys do (neks/rewrap.ts): every hash under another one is wrapped again, by
 * the first live node that has all NEKs which are needed, whenever there is one. With many users that takes minutes, in
 * which log-ins go on, because policy reads both NEKs; until it is done the old NEK cannot be deleted.
 */
export type DirectoryRewrapDeps = {
  node: string;
  log: Logger;
  map: ReplicatedMap<DirectoryRecord>;
  neks: () => readonly Nek[];
  /** Fingerprint of the NEK with which everything is to be wrapped. */
  current: () => string | undefined;
  /** The live processes; undefined while that is not known. */
  live: () => Holder[] | undefined;
};

export class DirectoryRewrap {
  readonly #deps: DirectoryRewrapDeps;
  #counted: { cursor: string; counts: Map<string, number> } | undefined;
  #working = false;
  #closed = false;
  /** Why some could not be wrapped again, as it was reported. */
  #reported: string | undefined;

  constructor(deps: DirectoryRewrapDeps) {
    this.#deps = deps;
  }

  /** How many hashes this NEK wraps. */
  wrappedBy(fingerprint: string): number {
    return this.#counts().get(fingerprint) ?? 0;
  }

  /** How many hashes there are. */
  get hashes(): number {
    return [...this.#counts().values()].reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    this.#closed = true;
  }

  /** Do what is due; to be called repeatedly. Never rejects. */
  async resume(): Promise<void> {
    if (this.#working || !this.#isMine()) return;
    this.#working = true;
    const { log } = this.#deps;
    try {
      const { users, problem } = await this.#rewrap();
      if (users > 0) log.info({ users }, 'password hashes re-wrapped with the current named encryption key');
      if (problem !== undefined && problem !== this.#reported) {
        log.error(
          { error: problem },
          'a password hash cannot be re-wrapped and stays under its old named encryption key',
        );
      }
      this.#reported = problem;
    } catch (error) {
      log.warn({ error: errorText(error) }, 'password hashes could not be re-wrapped yet, it is tried again');
    } finally {
      this.#working = false;
    }
  }

  #counts(): ReadonlyMap<string, number> {
    const { map } = this.#deps;
    if (this.#counted?.cursor === map.cursor) return this.#counted.counts;
    const counts = new Map<string, number>();
    for (const { value } of map.entries()) {
      for (const { nekFingerprint } of hashesOf(value)) {
        counts.set(nekFingerprint, (counts.get(nekFingerprint) ?? 0) + 1);
      }
    }
    this.#counted = { cursor: map.cursor, counts };
    return counts;
  }

  #isMine(): boolean {
    const { current, live, node } = this.#deps;
    const wanted = current();
    const needed = [...this.#counts().keys()];
    if (wanted === undefined || needed.every((nek) => nek === wanted)) return false;
    const able = live()?.filter(
      (h) => h.kind === 'credential-store' && [wanted, ...needed].every((nek) => h.neks.includes(nek)),
    );
    return able?.map((h) => h.node).toSorted()[0] === node;
  }

  async #rewrap(): Promise<{ users: number; problem: string | undefined }> {
    const { map, neks, current } = this.#deps;
    let users = 0;
    let problem: string | undefined;
    for (const { key } of map.entries()) {
      if (this.#closed) break;
      const wanted = current();
      const isOld = ({ nekFingerprint }: WrappedSecret): boolean => nekFingerprint !== wanted;
      const value = map.get(key)?.value;
      if (value === undefined || !hashesOf(value).some(isOld)) continue;
      let changed = false;
      await map.update(key, (record) => {
        changed = false;
        const nek = findNek(neks(), current() ?? '');
        if (nek === undefined || record?.kind !== 'user') return record;
        try {
          const next = rewrapped(record, nek, neks());
          changed = true;
          return next;
        } catch (error) {
          problem = errorText(error);
          return record;
        }
      });
      if (changed) users++;
    }
    return { users, problem };
  }
}

function hashesOf(record: DirectoryRecord): WrappedSecret[] {
  if (record.kind !== 'user') return [];
  const others = record.appPasswords.map(({ password }) => password);
  return record.password === undefined ? others : [record.password, ...others];
}

function rewrapped(user: UserRecord, nek: Nek, neks: readonly Nek[]): UserRecord {
  const again = (wrapped: WrappedSecret, tag?: string): WrappedSecret => {
    if (wrapped.nekFingerprint === nek.fingerprint) return wrapped;
    const place = passwordPlace(user.name, tag);
    return wrapSecret(nek, place, unwrapSecret(neks, place, wrapped));
  };
  return {
    ...user,
    ...(user.password !== undefined && { password: again(user.password) }),
    appPasswords: user.appPasswords.map((one) => ({ ...one, password: again(one.password, one.tag) })),
  };
}
