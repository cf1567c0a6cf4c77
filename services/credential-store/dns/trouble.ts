import { SealpostError } from '#shared/errors.ts';

/**
 * Why a record could not be changed in DNS, and what follows from that. There are two answers, and this table is the one
 * place where they are given, by a single question: can it end without a person?
 *
 *   passes   a zone that is frozen, is not loaded yet or is new, a server that restarts, a clock that NTP will set. It is
 *            tried again all the time (`dns-failed`)
 *   lasts    somebody must change a setting or a record first. It is reported as needing that, and asked again at long
 *            intervals (`dns-refused`), because it is mended at the name server, which does not tell us
 *
 * An answer that may mean either (REFUSED is said of a frozen zone and to a key without permission) counts as passing:
 * a needless question costs nothing, and a revocation that is not asked again leaves a key in DNS. Names in capitals are
 * response codes (RFC 1035 §4.1.1, RFC 2136 §2.2, RFC 8945 §3); one that is not here passes.
 */
const TROUBLES = {
  SERVFAIL: 'passes',
  REFUSED: 'passes',
  NOTAUTH: 'passes',
  /** The server cannot do updates, or the zone does not have the name. */
  FORMERR: 'lasts',
  NOTIMP: 'lasts',
  NOTZONE: 'lasts',
  /** What was signed, of RFC 8945 §5.2: settings that differ, and a clock. */
  BADKEY: 'lasts',
  BADSIG: 'lasts',
  BADTRUNC: 'lasts',
  BADTIME: 'passes',
  'no answer': 'passes',
  'forged answer': 'passes',
  /** Another program writes at the same moment. */
  'moving records': 'passes',
  'foreign record': 'lasts',
  alias: 'lasts',
  'zone cut': 'lasts',
  settings: 'lasts',
  /** The node that drives the domain lacks an entry that others have: its file may be on its way. */
  'settings of one node': 'passes',
} as const satisfies Record<string, 'passes' | 'lasts'>;

export type Trouble = keyof typeof TROUBLES;

export const isTrouble = (name: string): name is Trouble => Object.hasOwn(TROUBLES, name);

/** The error for a trouble, or for a response code that the table does not have: `dns-refused` or `dns-failed`. */
export function troubleError(trouble: string, text: string, options?: ErrorOptions): SealpostError {
  const lasts = isTrouble(trouble) && TROUBLES[trouble] === 'lasts';
  return new SealpostError(lasts ? 'dns-refused' : 'dns-failed', text, options);
}
