import type { LedgerRow, LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { formatTime } from '#shared/units.ts';
import { certificateVerdict } from '../../../reports/tls/ledger.ts';
import { shorten } from '../../table.ts';

/** Rows and totals of the TLS ledger as people and other programs read them. */

export const COLUMNS = [
  'TIME',
  'DIRECTION',
  'DOMAIN',
  'PEER',
  'REACHED',
  'WANTED',
  'TLS',
  'CERTIFICATE',
  'ID',
  'STATE',
];
export const TOTAL_COLUMNS = [
  'DIRECTION',
  'DOMAIN',
  'CLEAR',
  'ENCRYPTED',
  'VERIFIED',
  'WEAKER',
  'NOT DELIVERED',
  'LAST',
];

export function cellsOf(row: LedgerRow): string[] {
  const { direction, at, domain, peer, reached, wanted, by, protocol, cipher, queueId, state, why } = row;
  return [
    formatTime(at),
    direction,
    shorten(domain === '' ? '<>' : domain, 40),
    shorten(peer, 48),
    reached,
    wanted === undefined ? '-' : `${wanted} (${by})`,
    protocol === undefined ? '-' : `${protocol} ${cipher}`,
    certificateText(row),
    queueId,
    why === undefined ? state : `${state}: ${why}`,
  ];
}

function certificateText(row: LedgerRow): string {
  const verdict = certificateVerdict(row) ?? '-';
  const { subject } = row.certificate ?? {};
  return subject === undefined ? verdict : `${shorten(subject, 40)}: ${verdict}`;
}

export function totalCells({
  direction,
  domain,
  clear,
  encrypted,
  verified,
  weaker = 0,
  undelivered,
  last,
}: LedgerTotal): string[] {
  const counts = [clear, encrypted, verified, weaker, undelivered].map(String);
  return [direction, shorten(domain === '' ? '<>' : domain, 60), ...counts, formatTime(last)];
}

/** Those with the most first. */
export function inOrder(totals: Iterable<LedgerTotal>): LedgerTotal[] {
  const all = ({ clear, encrypted, verified, undelivered }: LedgerTotal): number =>
    clear + encrypted + verified + undelivered;
  return [...totals].toSorted(
    (a, b) => a.direction.localeCompare(b.direction) || all(b) - all(a) || (a.domain < b.domain ? -1 : 1),
  );
}

const time = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();
const yes = (value: boolean | undefined): string | undefined =>
  value === undefined ? undefined : value ? 'yes' : 'no';

type Field<T> = [name: string, of: (value: T) => string | number | undefined];

/** The columns of CSV: new ones are added at the end. */
export const ROW_FIELDS: readonly Field<LedgerRow>[] = [
  ['time', ({ at }) => time(at)],
  ['direction', ({ direction }) => direction],
  ['node', ({ node }) => node],
  ['queue_id', ({ queueId }) => queueId],
  ['state', ({ state }) => state],
  ['domain', ({ domain }) => domain],
  ['peer', ({ peer }) => peer],
  ['helo', ({ helo }) => helo],
  ['user', ({ user }) => user],
  ['listener', ({ listener }) => listener],
  ['recipients', ({ recipients }) => recipients],
  ['wanted', ({ wanted }) => wanted],
  ['wanted_by', ({ by }) => by],
  ['reached', ({ reached }) => reached],
  ['version', ({ protocol }) => protocol],
  ['cipher', ({ cipher }) => cipher],
  ['certificate_subject', ({ certificate }) => certificate?.subject],
  ['certificate_fingerprint', ({ certificate }) => certificate?.fingerprint],
  ['certificate_name', ({ certificate }) => yes(certificate?.name)],
  ['certificate_chain', ({ certificate }) => yes(certificate?.chain)],
  ['certificate_expires', ({ certificate }) => time(certificate?.expires)],
  ['dane', ({ certificate }) => certificate?.dane],
  ['certificate_problem', ({ certificate }) => certificate?.problem],
  ['why', ({ why }) => why],
];

export const TOTAL_FIELDS: readonly Field<LedgerTotal>[] = [
  ['direction', ({ direction }) => direction],
  ['domain', ({ domain }) => domain],
  ['clear', ({ clear }) => clear],
  ['encrypted', ({ encrypted }) => encrypted],
  ['verified', ({ verified }) => verified],
  ['not_delivered', ({ undelivered }) => undelivered],
  ['last', ({ last }) => time(last)],
  ['weaker', ({ weaker = 0 }) => weaker],
];
