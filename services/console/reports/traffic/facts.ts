import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import type { Calls } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';
import { describeError } from '../describe-error.ts';

/** How much mail each process has seen since its start, and what is in the queues, at one moment. */

/** Numbers of messages (at the door) and of recipients (afterwards). */
export type Counts = {
  accepted: number;
  refused: number;
  putOff: number;
  delivered: number;
  deferred: number;
  failed: number;
  /** Of those delivered: with our signature; to another machine, and in TLS there. */
  signed: number;
  sent: number;
  encrypted: number;
};

export type ProcessTraffic = {
  node: string;
  process: string;
  counts: Counts;
  /** Open SMTP sessions; absent where it has no listener. */
  sessions?: number;
  /** Absent where it has no router. */
  queue?: { active: number; deferred: number; hold: number };
};

export type Traffic = {
  /** By `performance.now` */
  at: number;
  processes: ProcessTraffic[];
  /** Processes that live and did not answer, and why. */
  silent: { node: string; process: string; services: string[]; reason: string }[];
};

const PATIENCE_MS = 2000;
const MESSAGES = 'sealpost_messages_total';
const RECIPIENTS = 'sealpost_recipients_total';

/** Ask the processes of these members that live. */
export async function gatherTraffic(clients: Clients, members: readonly Member[]): Promise<Traffic> {
  const at = performance.now();
  const processes: ProcessTraffic[] = [];
  const silent: Traffic['silent'] = [];
  const live = members.filter(({ state }) => state !== 'gone');
  const asked = live.map(async (member) => {
    const { node, process, services } = member;
    try {
      processes.push(await askProcess(clients, member));
    } catch (error) {
      silent.push({ node, process, services, reason: reasonOf(error) });
    }
  });
  await Promise.all(asked);
  return { at, processes: processes.sort((a, b) => (a.node < b.node ? -1 : 1)), silent };
}

/** What a call says of its own operation is of no use to an administrator. */
function reasonOf(error: unknown): string {
  const code = errorCode(error);
  if (code === CALL_ERRORS.timeout || code === CALL_ERRORS.unavailable) return 'it does not answer';
  return error instanceof SealpostError ? describeError(error) : errorText(error);
}

async function askProcess(clients: Clients, { node, process, services }: Member): Promise<ProcessTraffic> {
  const there = { node: process, timeout: PATIENCE_MS };
  const [counted, door, router] = await Promise.all([
    clients.client(memberContract)['counter-list']({ names: [MESSAGES, RECIPIENTS] }, there),
    services.includes('listener') ? clients.client(listenerContract)['status-show']({}, there) : undefined,
    services.includes('router') ? clients.client(routerContract)['status-show']({}, there) : undefined,
  ]);
  return {
    node,
    process,
    counts: countsOf(counted.series),
    ...(door && { sessions: door.listeners.reduce((sum, { sessions }) => sum + sessions, 0) }),
    ...(router && { queue: { active: router.active, deferred: router.deferred, hold: router.hold } }),
  };
}

type Series = Awaited<ReturnType<Calls<'operator', 'member'>['counter-list']>>['series'];

function countsOf(series: Series): Counts {
  const sum = (name: string, fits: (labels: Record<string, string>) => boolean): number =>
    series.reduce((all, one) => (one.name === name && fits(one.labels) ? all + one.value : all), 0);
  const messages = (outcome: string): number => sum(MESSAGES, (labels) => labels['outcome'] === outcome);
  const recipients = (outcome: string): number => sum(RECIPIENTS, (labels) => labels['outcome'] === outcome);
  const delivered = (fits: (labels: Record<string, string>) => boolean): number =>
    sum(RECIPIENTS, (labels) => labels['outcome'] === 'delivered' && fits(labels));
  return {
    accepted: messages('accepted'),
    refused: messages('refused') + messages('discarded'),
    putOff: messages('deferred'),
    delivered: recipients('delivered'),
    deferred: recipients('deferred'),
    failed: recipients('failed') + recipients('expired'),
    signed: delivered(({ signed }) => signed === 'yes'),
    sent: delivered(({ tls }) => tls !== 'none'),
    encrypted: delivered(({ tls }) => tls === 'encrypted' || tls === 'verified'),
  };
}
