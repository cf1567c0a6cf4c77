import { z } from 'zod';

/**
 * Whether a record was written by a process that may write it. A map with a seal gives every record it writes codes over
 * the whole of it (`macs`, over the JSON of all other members: key, version, times, value or its absence), and judges
 * every record that it takes in. Who can write in the stream but has no key for the seal can neither make a record nor
 * change one; an old record that was authentic is still one, and loses against any later version that a node holds.
 *
 *   from the stream, or another node   taken when it is authentic, refused otherwise. One without codes, as the version
 *                                      before writes them, is taken until this node's map is sealed.
 *   from this node's disk              refused when its codes are wrong. One without codes, or by a key that this node no
 *                                      longer has, is believed: who can write this disk can read the keys of the seal.
 *
 * A map is sealed, for ever, from the start where it starts empty, and otherwise when its owner says so
 * (`ReplicatedMap.markSealed`): when no process writes records without codes any more and every record has some.
 *
 * A node without a key can judge nothing: it takes nothing from the stream and writes nothing into it.
 *
 * Versions. A version that no life of a record leads to (more than 2^40, or 2^32 more than what is held) is refused in
 * every map, sealed or not: it could never be changed again. Where there is no seal a stranger can still push a record
 * up to 2^40, so changes go on from there: up to 2^22 more than what is held, a third of a year of a lease's renewals.
 * To the end of the numbers that is 2^31 records. Only a node that holds no such record refuses it.
 */
export const RecordMac = z.object({ nek: z.string().regex(/^[0-9a-f]{1,64}$/), mac: z.string().max(64) });
export type RecordMac = z.infer<typeof RecordMac>;

export type Seal = {
  /** Fingerprints of the keys that this node has. */
  readonly keys: readonly string[];
  /** The codes for a text; none without a key. */
  macs(text: string): RecordMac[];
  judge(text: string, macs: readonly RecordMac[]): 'authentic' | 'forged' | 'unknown';
};

const MAX_VERSION = 2 ** 40;
const MAX_JUMP = 2 ** 32;
/** The longest step beyond `MAX_VERSION`. */
const MAX_STEP = 2 ** 22;
/** From here on there may be no next one. */
const LAST_VERSION = 2 ** 52;

/** Why a record has a version that none can have; undefined where it may. `held`: the version of this node's record. */
export function implausible(version: number, held: number): string | undefined {
  if (version > LAST_VERSION) return endless(version);
  if (held === 0) return version > MAX_VERSION ? endless(version) : undefined;
  const most = Math.max(Math.min(held + MAX_JUMP, MAX_VERSION), held + MAX_STEP);
  return version > most ? `its version ${version} cannot follow ${held}` : undefined;
}

/** The same of a record on this node's disk, which was judged when it came. */
export function implausibleOnDisk(version: number): string | undefined {
  return version > LAST_VERSION ? endless(version) : undefined;
}

const endless = (version: number): string => `its version ${version} is higher than any that a record reaches`;

/** What the codes of a record are over: its JSON without them. */
export function sealedText(json: string): string {
  const { macs: _, ...rest } = JSON.parse(json) as Record<string, unknown>;
  return JSON.stringify(rest);
}

type Sealable = { json: string; macs?: readonly RecordMac[] | undefined };

const WITHOUT_KEY = 'this node has no named encryption key (credentials.nek) to check it';

/** Why a record of the stream, or of another node, is not taken, and for want of which NEK; undefined where it is. */
export function refuseArrived(
  seal: Seal | undefined,
  sealed: boolean,
  { json, macs }: Sealable,
): { reason: string; nek?: string | undefined } | undefined {
  if (seal === undefined) return undefined;
  if (seal.keys.length === 0) return { reason: WITHOUT_KEY };
  if (macs === undefined) return sealed ? { reason: 'it was written without a NEK: it has no MAC' } : undefined;
  switch (seal.judge(sealedText(json), macs)) {
    case 'authentic':
      return undefined;
    case 'forged':
      return { reason: 'it was changed, or written without the NEK: its MAC is wrong' };
    case 'unknown': {
      const neks = macs.map(({ nek }) => nek).join(', ');
      return { reason: `it was written with a NEK that is not in credentials.nek of this node: ${neks}`, nek: neks };
    }
  }
}

/** Why a record of this node's disk is not believed; undefined where it is. */
export function refuseStored(seal: Seal | undefined, { json, macs }: Sealable): string | undefined {
  if (seal === undefined || macs === undefined || seal.judge(sealedText(json), macs) !== 'forged') return undefined;
  return 'its MAC is wrong';
}
