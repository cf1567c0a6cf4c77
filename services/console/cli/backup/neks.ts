import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { loadNeks, type NekOption } from '#cluster/config/nek.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { describeNeks, type Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import type { FilePart } from './archive/manifest.ts';

/**
 * The NEKs that a backup with these files has. Fails with `file-unreadable` where one of their files was changed since it was
 * taken in, and as `loadNeks` does.
 */
export async function neksIn(files: readonly FilePart[], { credentials, tls }: Config): Promise<Nek[]> {
  const neks: Nek[] = [];
  const sources: [Config['credentials']['nek'], NekOption][] = [
    [credentials.nek, 'credentials.nek'],
    [tls?.nek, 'tls.nek'],
  ];
  for (const [source, option] of sources) {
    neks.push(...(await loadNeks(source, undefined, option)));
    if (typeof source !== 'string') continue;
    const sha256 = createHash('sha256')
      .update(await readFile(source))
      .digest('hex');
    if (files.some((file) => file.path === source && file.sha256 === sha256)) continue;
    throw new SealpostError('file-unreadable', `${source} was changed while the backup was made: try again`);
  }
  return neks;
}

/**
 * Which NEKs the records of a backup need: without them no key of it signs again and nobody logs in, and a backup that
 * cannot be used must not look like one. A NEK can be replaced while the backup is made, so it is looked at in the end.
 */
export class NeededNeks {
  /** Fingerprints of the NEKs by which something is wrapped, with their names. */
  readonly #wrapping = new Map<string, string>();
  /** The fingerprints of the MACs of a record: one of them is needed. */
  readonly #sealing = new Map<string, string[]>();

  /** A record as JSON. */
  add(json: string): void {
    const record = JSON.parse(json) as { value?: unknown; macs?: { nek: string }[] };
    this.#collect(record.value);
    const macs = (record.macs ?? []).map(({ nek }) => nek);
    if (macs.length > 0) this.#sealing.set(macs.join(), macs);
  }

  /** Fails with `no-nek` where `neks` lack one. */
  assertIn(neks: readonly Nek[]): void {
    const has = (fingerprint: string): boolean => neks.some((nek) => nek.fingerprint === fingerprint);
    const missing = new Map([...this.#wrapping].filter(([fingerprint]) => !has(fingerprint)));
    for (const macs of this.#sealing.values()) {
      const [first] = macs;
      if (first !== undefined && !macs.some(has) && !missing.has(first)) missing.set(first, '?');
    }
    if (missing.size === 0) return;
    const needed = describeNeks([...missing].map(([fingerprint, name]) => ({ fingerprint, name })));
    const text = `the records need NEK ${needed}, and the files of the configuration have ${describeNeks(neks)}: no backup was made, as its keys could not be used; run this where credentials.nek and tls.nek are`;
    throw new SealpostError('no-nek', text);
  }

  #collect(value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    const { nek, nekFingerprint } = value as { nek?: unknown; nekFingerprint?: unknown };
    if (typeof nekFingerprint === 'string') this.#wrapping.set(nekFingerprint, typeof nek === 'string' ? nek : '?');
    for (const member of Object.values(value)) this.#collect(member);
  }
}
