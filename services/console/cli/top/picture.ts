import { styleText } from 'node:util';
import type { NodeRates, Rates } from '../../reports/traffic/rates.ts';
import { clean, shorten, table } from '../table.ts';

/** The screen of `sealpost top` as lines of text. Pure. */

export type View = {
  /** What is shown, on one line. */
  title: string;
  /** Undefined until two moments are known. */
  rates: Rates | undefined;
  /** Of all nodes together, a number per moment, the newest last. */
  history: { accepted: number[]; delivered: number[] };
  /** What needs a hand, worst first; undefined until the cluster was examined. */
  alarms: { severity: 'error' | 'warning' | 'note'; text: string }[] | undefined;
  silent: { node: string; services: string[]; reason: string }[];
};

const COLUMNS = [
  ...['', 'ACCEPTED', 'REFUSED', 'PUT OFF', 'DELIVERED', 'DEFERRED', 'FAILED'],
  ...['SIGNED', 'TLS', 'ACTIVE', 'WAITING', 'HELD', 'SESSIONS'],
];
const BARS = '▁▂▃▄▅▆▇█';
/** Width of a history, in moments. */
export const HISTORY = 60;

/** At most `rows` lines of at most `columns` characters; `colour`: for a terminal that has it. */
export function picture(view: View, { columns, rows, colour }: { columns: number; rows: number; colour: boolean }) {
  const { title, rates, history, alarms, silent } = view;
  const paint = (format: Parameters<typeof styleText>[0], text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const cut = (text: string): string => shorten(clean(text), columns);
  const figures = rates === undefined ? ['waiting for the second look …'] : figuresOf(rates).map(cut);
  const charts = [cut(`accepted   ${sparkline(history.accepted)}`), cut(`delivered  ${sparkline(history.delivered)}`)];
  const troubles = [
    ...silent.map(({ node, services, reason }) =>
      paint('red', cut(`${node} (${services.join(', ')}) does not answer: ${reason}`)),
    ),
    ...(alarms ?? []).map(({ severity, text }) =>
      paint(severity === 'error' ? 'red' : severity === 'warning' ? 'yellow' : 'dim', cut(text)),
    ),
  ];
  const well =
    alarms === undefined ? cut('the cluster is being examined …') : paint('green', cut('nothing needs a hand'));
  const head = [paint('bold', cut(title)), '', ...figures, '', ...charts, ''];
  const room = Math.max(0, rows - head.length);
  const all = troubles.length === 0 ? [well] : troubles;
  if (all.length <= room) return [...head, ...all];
  const rest = all.length - Math.max(0, room - 1);
  return [...head, ...all.slice(0, Math.max(0, room - 1)), cut(`and ${rest} more: sealpost doctor`)].slice(0, rows);
}

function figuresOf({ all, nodes }: Rates): string[] {
  const rows = [...nodes].map(([name, one]) => row(name, one));
  return table(COLUMNS, nodes.size === 1 ? rows : [...rows, row('all', all)]).split('\n');
}

function row(name: string, { rates, signed, encrypted, queue, sessions }: NodeRates): string[] {
  const { accepted, refused, putOff, delivered, deferred, failed } = rates;
  return [
    name,
    ...[accepted, refused, putOff, delivered, deferred, failed].map(rateText),
    ...[shareText(signed), shareText(encrypted)],
    ...[queue.active, queue.deferred, queue.hold, sessions].map((n) => n.toLocaleString('en')),
  ];
}

/** `0`, `0.5/s`, `412/s` */
export function rateText(rate: number): string {
  if (rate === 0) return '0';
  return rate < 10 ? `${Math.max(0.1, rate).toFixed(1)}/s` : `${Math.round(rate).toLocaleString('en')}/s`;
}

/** 100 % only where it is all. */
export function shareText(share: number | undefined): string {
  if (share === undefined) return '-';
  return share === 1 ? '100 %' : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** A bar for each number, the highest one full, and what that is. */
export function sparkline(numbers: readonly number[]): string {
  const most = Math.max(0, ...numbers);
  const bars = numbers.map((n) => BARS[most === 0 ? 0 : Math.round((n / most) * (BARS.length - 1))]).join('');
  return `${bars.padStart(HISTORY)}  at most ${rateText(most)}`;
}
