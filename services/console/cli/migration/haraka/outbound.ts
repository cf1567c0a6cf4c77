import { isTrue } from '../../import/haraka/folder.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { durationText } from '../units.ts';
import { count, seconds } from './server.ts';
import { answerIni, type Handlers, type State } from './state.ts';

/** outbound.ini: how mail goes out, and how often it is tried. */
export async function outbound(state: State): Promise<void> {
  const { folder } = state;
  const handlers = outboundIni(state);
  answerIni(state, await folder.ini('outbound.ini'), handlers);
  // Older versions have a file for each.
  for (const [key, handler] of Object.entries(handlers)) {
    for (const { place, text } of key === 'disabled' ? [] : await folder.lines(`outbound.${key}`)) {
      const entry = { place, section: 'main', key, value: text, list: false };
      const answer = typeof handler === 'function' ? handler(entry) : handler;
      if (answer !== undefined) state.tell(place, text, answer);
    }
  }
}

const POOL = none('a connection that is not used stays open for delivery.idle');
const FAMILY = none('IPv6 and IPv4 are tried in the order of DNS: routes[].family');

function outboundIni(state: State): Handlers {
  return {
    disabled: ({ value }) =>
      isTrue(value)
        ? toDo('mail goes out; "sealpost queue suspend" keeps it back for a while')
        : already('mail goes out'),
    concurrency_max: none('connections are limited for each next hop: delivery.connections'),
    enable_tls: ({ value }) =>
      isTrue(value)
        ? already('TLS where it is offered')
        : none('TLS is used where it is offered: tls: off of a route sends in clear text'),
    temp_fail_intervals: ({ value }) => intervals(state, value),
    maxTempFailures: none('mail is tried for queue.expire, however often that is'),
    always_split: already('each recipient has its own fate; they share a transaction all the same'),
    received_header: already('every message gets Received'),
    connect_timeout: (entry) => seconds(state, 'delivery.timeout.connect', entry),
    ...{
      pool_timeout: POOL,
      pool_concurrency_max: (entry) => (entry.value === '0' ? POOL : count(state, 'delivery.connections', entry, 1)),
    },
    local_mx_ok: ({ value }) =>
      isTrue(value)
        ? toDo('delivery.allow-local names the networks that MX records may lead to')
        : already('MX records that lead to this machine are no way'),
    ...{ inet_prefer: FAMILY, ipv6_enabled: FAMILY },
    ...{
      load_pid_queue: none('about the queue files of Haraka'),
      flush_queue: none('about the queue files of Haraka'),
    },
  };
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const LEAST_EXPIRE = 3600;
const MOST = 24 * 86_400;

/** `1m, 5m*2, 1h*3`: the first wait, the longest one, and their sum, after which the message comes back. */
function intervals({ draft }: State, text: string): Answer {
  if (text.trim() === 'none')
    return none('a message whose first attempt fails is tried again: mail would come back for nothing');
  const waits: number[] = [];
  for (const part of text.split(',')) {
    const [, digits, unit = '', times = '1'] = /^\s*(\d{1,6})\s*([smhd])(?:\s*\*\s*(\d{1,4}))?\s*$/.exec(part) ?? [];
    if (digits === undefined) return problem(`"${part.trim()}" is not a time span: not taken`);
    for (let i = 0; i < Number(times); i++) waits.push(Number(digits) * (UNITS[unit] ?? 1));
  }
  const sum = waits.reduce((all, wait) => all + wait, 0);
  const expire = Math.min(MOST, Math.max(LEAST_EXPIRE, sum));
  const max = Math.min(expire, Math.max(1, ...waits));
  const first = Math.min(max, Math.max(1, waits[0] ?? 1));
  const [wait, longest, whole] = [first, max, expire].map((seconds) => durationText(1000 * seconds));
  draft.set('queue.expire', whole);
  draft.set('queue.retry', { first: wait, max: longest });
  return taken(`first after ${wait}, then up to ${longest}, for ${whole}`, 'queue.retry', 'queue.expire');
}
