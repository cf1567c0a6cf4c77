import { zoneLine } from '#shared/dns/txt.ts';
import type { TlsDnsRecordStatus, WithdrawnTlsDnsRecord } from '#shared/tls/dns-record.ts';
import { formatTime } from '#shared/units.ts';
import { listText } from '../../reports/doctor/finding.ts';
import { cleanLines } from '../table.ts';

/** What `sealpost tls publish` says of each record. */

/** A record as it stands now, or why that cannot be told. */
export type Outcome<S = TlsDnsRecordStatus> = S | { record: string; error: string };

export function outcomeText(outcome: Outcome): string {
  if ('error' in outcome) return cleanLines(`${outcome.record}: ${outcome.error}`);
  const { name, type, values, obsolete, others, usable, kept } = outcome;
  const line = (value: string): string => lineOf(outcome, value);
  const isDue = outcome.state === 'due' || outcome.state === 'pending';
  const lines = [
    `${name} ${type}: ${stateText(outcome)}`,
    ...(isDue ? values.map(({ value }) => `  ${line(value)}`) : []),
    ...(isDue ? obsolete.map((value) => `  remove: ${line(value)}`) : []),
    ...others.map((value) => `  not ours, left as it is: ${line(value)}`),
    ...values.flatMap(({ value, nodes = [] }) => (nodes.length > 0 ? [`  ${waitingText(nodes)}: ${line(value)}`] : [])),
    ...(usable === undefined ? [] : [`  ${usableText(usable)}`]),
    ...(kept === undefined ? [] : [`  ${keptText(kept)}`]),
  ];
  return cleanLines(lines.join('\n'));
}

function stateText({ state, by, detail }: TlsDnsRecordStatus): string {
  switch (state) {
    case 'published':
      return 'every name server has it';
    case 'pending':
      return `written, but not every name server has it yet, so run this again: ${detail}`;
    case 'due':
      return by === 'manual' ? `publish this by hand (${detail}):` : `is to be written into its zone (${detail}):`;
    case 'no-effect':
      return `not published: ${detail}`;
  }
}

function usableText(usable: number): string {
  return usable > Date.now()
    ? `wait with the next certificate until ${formatTime(usable)}: until then caches may have the records without it`
    : 'the next certificate may be used now; run this again afterwards, which removes the record of the former one';
}

function waitingText(nodes: readonly string[]): string {
  const help = nodes.map((node) => `"sealpost cluster forget ${node}"`).join(', ');
  return `stays for ${listText(nodes)}, which may come back with this certificate (else ${help})`;
}

/** RFC 8461 §8.3. */
function keptText(kept: number): string {
  return kept > Date.now()
    ? `the policy is withdrawn (mode: none); senders may have a former one until ${formatTime(kept)}, so leave mta-sts as it is until then`
    : 'the policy is withdrawn (mode: none), and no sender has a former one any more: remove mta-sts, and run this again';
}

export function withdrawnText(outcome: Outcome<WithdrawnTlsDnsRecord>): string {
  if ('error' in outcome) return cleanLines(`${outcome.record}: ${outcome.error}`);
  const { name, type, values, state } = outcome;
  const lines = [
    `${name} ${type}: ${withdrawnState(outcome)}`,
    ...(state === 'due' || state === 'pending' ? values.map((value) => `  remove: ${lineOf(outcome, value)}`) : []),
  ];
  return cleanLines(lines.join('\n'));
}

function withdrawnState({ state, by, detail, kept = 0, nodes = [] }: WithdrawnTlsDnsRecord): string {
  switch (state) {
    case 'withdrawn':
      return 'not needed any more, and no name server has it';
    case 'pending':
      return `removed, but some name servers still have it, so run this again: ${detail}`;
    case 'due':
      return `not needed any more, and is to be removed ${by === 'manual' ? 'by hand' : 'from its zone'} (${detail}):`;
    case 'kept':
      if (nodes.length > 0) return waitingText(nodes);
      return `stays until ${formatTime(kept)}, since senders may have the policy until then (RFC 8461 §8.3): serve mode: none (mta-sts: { mode: none, max-age: 1d }) until then, run this again, and remove mta-sts afterwards`;
  }
}

function lineOf({ name, type, ttl }: { name: string; type: 'TXT' | 'TLSA'; ttl: number }, value: string): string {
  return type === 'TXT' ? zoneLine({ name, ttl, value }) : `${name}. ${ttl} IN TLSA ${value}`;
}
