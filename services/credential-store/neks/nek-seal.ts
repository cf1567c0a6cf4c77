import type { Seal } from '#cluster/replicated/seal.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { judgeMacs, macsOf, type NekMac, type Verdict } from '#shared/dkim/nek-mac.ts';

/** The seal of the records (`cluster/replicated/seal.ts`): MACs by each NEK that this node has. */
export class NekSeal implements Seal {
  readonly #purpose: string;
  #neks: readonly Nek[] = [];

  /** Of the records of a bucket: a code for one is none for another. */
  constructor(bucket: string) {
    this.#purpose = `record of ${bucket}`;
  }

  /** The NEKs of the configuration as they were last read: a file that cannot be read changes nothing. */
  use(neks: readonly Nek[]): void {
    this.#neks = neks;
  }

  get neks(): readonly Nek[] {
    return this.#neks;
  }

  get keys(): string[] {
    return this.#neks.map((nek) => nek.fingerprint);
  }

  macs(text: string): NekMac[] {
    return macsOf(this.#neks, this.#purpose, text);
  }

  judge(text: string, macs: readonly NekMac[]): Verdict {
    return judgeMacs(this.#neks, this.#purpose, text, macs);
  }
}
