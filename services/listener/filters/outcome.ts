import { type Reply, reply } from '#shared/mail/reply.ts';
import { printable } from '#shared/text.ts';
import type { FilterVerdict, HeaderChange } from './filter.ts';
import type { FilterRun, RunResult } from './filter-run.ts';
import { changeHeader } from './header-changes.ts';

/**
 * What the verdicts of all filters come to, and what they make of a message that policy accepted. What policy refuses is
 * refused, whatever filters say. Among filters the strongest verdict wins: reject, discard, defer, accept; of two that
 * reject, the reply is that of the first in the configuration. Where all accept, one that says junk or hold is
 * enough, and all changes to the header are made, in the order of the configuration.
 */

/** `said`: by filter, for the log. */
export type Outcome = { said: Record<string, string> } & (
  | { action: 'accept'; junk: boolean; hold?: boolean; changes: readonly HeaderChange[] }
  | { action: 'reject' | 'defer'; reply: Reply }
  | { action: 'discard' }
);

/** The field in front of a message that a filter did not see. */
const MARK = 'X-Sealpost-Unfiltered';
const LONGEST_SAID = 200;
/**
 * Bytes of JSON that a changed header may have. It goes to the router with the last chunk of the message, and to the holder of
 * a second copy, each in one message of NATS, which carries 1 MB. A larger one stays as it came, with the fields in front.
 */
const LARGEST_HEADER = 768 * 1024;
/** A control character is `\u0001` there. */
const MOST_JSON_PER_BYTE = 6;

const CANNOT_CHECK = reply(451, '4.7.1', 'Message cannot be checked right now, please try again later');

/** Of a message whose filters were not asked to the end, because the service stops. */
export const GIVEN_UP: Outcome = { action: 'defer', reply: CANNOT_CHECK, said: {} };

/** One filter and what it said; `error` where it gave no verdict. */
export type Answered = { config: FilterRun['config'] } & ({ result: RunResult } | { error: string });

export function outcomeOf(all: readonly Answered[]): Outcome {
  const verdicts = all.map(verdictOf);
  const said = Object.fromEntries(
    verdicts.map((verdict, n) => [all[n]?.config.name, printable(verdict.said, LONGEST_SAID)]),
  );
  for (const action of ['reject', 'discard', 'defer'] as const) {
    const strongest = verdicts.find((verdict) => verdict.action === action);
    if (strongest !== undefined) return { ...strongest, said };
  }
  const accepted = verdicts.flatMap((verdict) => (verdict.action === 'accept' ? [verdict] : []));
  const junk = accepted.some((verdict) => verdict.junk);
  const hold = accepted.some((verdict) => verdict.hold);
  return { action: 'accept', junk, hold, changes: accepted.flatMap(({ changes }) => changes), said };
}

/** The acceptance of policy with what the filters add to it. `received`: the header block that they saw. */
export function withOutcome<
  Acceptance extends { prepend: string[]; junk: boolean; hold?: boolean | undefined; header?: string | undefined },
>(
  acceptance: Acceptance,
  { junk, hold, changes }: Extract<Outcome, { action: 'accept' }>,
  received: Buffer,
): Acceptance {
  const both = { ...acceptance, junk: acceptance.junk || junk, ...(hold && { hold }) };
  if (changes.length === 0) return both;
  const seen = received.toString('latin1');
  const { added, header } = changeHeader(changes, seen, acceptance.header ?? seen);
  const fits = header !== undefined && fitsBus(header);
  return { ...both, prepend: [...acceptance.prepend, ...added], ...(fits && { header }) };
}

function fitsBus(header: string): boolean {
  return (
    header.length * MOST_JSON_PER_BYTE <= LARGEST_HEADER || Buffer.byteLength(JSON.stringify(header)) <= LARGEST_HEADER
  );
}

/** What a filter said, as its entry in the configuration takes it. */
function verdictOf(answered: Answered): FilterVerdict {
  const { config } = answered;
  if ('error' in answered) {
    const said = `failed: ${answered.error}`;
    return config['on-trouble'] === 'defer'
      ? { action: 'defer', reply: CANNOT_CHECK, said }
      : passed(config.name, 'the filter is not available', said);
  }
  const { result } = answered;
  if (result === 'too-large') return passed(config.name, 'the message is too large for it', 'too large for it');
  if (result.action !== 'reject') return result;
  switch (config['on-reject']) {
    case 'reject':
      return result;
    case 'junk':
      return { action: 'accept', junk: true, changes: [], said: result.said };
    case 'discard':
      return { action: 'discard', said: result.said };
  }
}

/** It goes on with a mark that says that a filter did not see it. */
function passed(name: string, why: string, said: string): FilterVerdict {
  return { action: 'accept', junk: false, changes: [{ kind: 'add', name: MARK, value: `${name}; ${why}` }], said };
}
