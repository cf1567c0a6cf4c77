import { isIP } from 'node:net';
import { listenerContract, type RefusedMail } from '#services/listener/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import { queueIdFloor, timeOfQueueId } from '#shared/ids.ts';
import { type FoundMessage, type MessageState, stateOf } from '#shared/mail/message-search.ts';
import type { Cluster } from '../clients.ts';
import { refusalSearches, subjectOf } from './question.ts';
import { mostTelling } from './reader.ts';
import { nodesOf, unheard } from './routers.ts';

/**
 * A page of what all nodes know of mail, newest first: messages in queues, receipts, and refusals at the door. It ends
 * after some work, so that a person always has an answer soon; a rare kind of mail takes more pages.
 *
 * Each node answers down to a moment, its horizon. What is newer than the highest of these is complete; the rest is read again
 * for the page that follows. Queue ids grow with time, and the start of one (queueIdFloor) stands for a refusal, which has none.
 */

export type MailSearch = {
  /** A queue id, Message-ID, address or domain; for refusals also an IP address, a session or a trace. */
  what?: string | undefined;
  /** A recipient, or a domain with everything below it. */
  to?: string | undefined;
  since?: number | undefined;
  until?: number | undefined;
  /** Without it, all mail; refusals are with it only where something is searched for, since strangers cause them all day. */
  state?: MessageState | 'refused' | undefined;
  /** The `next` of the page before. */
  below?: string | undefined;
  limit: number;
  /** Only what these domains have to do with. */
  domains?: string[] | undefined;
};

/** `id`: what it is sorted by. */
export type FoundMail =
  | { kind: 'message'; id: string; message: FoundMessage }
  | { kind: 'refused'; id: string; node: string; refusal: RefusedMail };

export type MailPage = {
  found: FoundMail[];
  /** Absent at the end. */
  next?: string;
  silent: { node: string; error: string }[];
  /** Records that are damaged. */
  unreadable: number;
};

type Part = { found: FoundMail[]; horizon: string; unreadable?: number };

const MOST_REFUSALS = 100;

export async function searchMail(cluster: Cluster, search: MailSearch): Promise<MailPage> {
  const members = await cluster.meet();
  const silent = new Map<string, string>();
  const askAll = async (service: 'router' | 'listener', ask: (node: string) => Promise<Part>): Promise<Part[]> => {
    const { up, silent: unheardOf } = nodesOf(members, service);
    for (const node of unheardOf) silent.set(node, errorText(unheard()));
    const answers = await Promise.allSettled(up.map(ask));
    return answers.flatMap((answer, n) => {
      if (answer.status === 'fulfilled') return [answer.value];
      silent.set(up[n] ?? '', errorText(answer.reason));
      return [];
    });
  };
  const parts = await Promise.all([
    hasMessages(search) ? askAll('router', (node) => messagesOf(cluster, node, search)) : [],
    hasRefusals(search) ? askAll('listener', (node) => refusalsOf(cluster, node, search)) : [],
  ]);
  return {
    ...merged(parts.flat(), search.limit),
    silent: [...silent].map(([node, error]) => ({ node, error })),
    unreadable: parts.flat().reduce((sum, { unreadable = 0 }) => sum + unreadable, 0),
  };
}

function hasMessages({ what = '', state }: MailSearch): boolean {
  return state !== 'refused' && isIP(what) === 0;
}

function hasRefusals({ what, to, state }: MailSearch): boolean {
  return state === 'refused' || (state === undefined && (what ?? to) !== undefined);
}

async function messagesOf(cluster: Cluster, node: string, search: MailSearch): Promise<Part> {
  const { what, limit, domains, ...others } = search;
  const state = search.state === 'refused' ? undefined : search.state;
  const question = { ...(what !== undefined && subjectOf(what)), ...others, state, domains, limit };
  const page = await cluster.client(routerContract)['message-find'](question, { node });
  // A router of the version before knows neither states nor the domains that a search is bounded to.
  const found = page.messages.flatMap((one): FoundMail[] => {
    const message = bounded(one, domains);
    const isMeant = message !== undefined && (state === undefined || stateOf(message) === state);
    return isMeant ? [{ kind: 'message', id: message.queueId, message }] : [];
  });
  return { found, horizon: page.next ?? '', unreadable: page.unreadable };
}

/** Whether an address is of one of these domains; of no bounds, each is. */
export function ownAddresses(domains: readonly string[] | undefined): (address: string) => boolean {
  const own = domains && new Set(domains.map(normalizeDomain));
  return (address) => own === undefined || own.has(normalizeDomain(domainOf(address)));
}

function bounded(message: FoundMessage, domains: readonly string[] | undefined): FoundMessage | undefined {
  const isOwn = ownAddresses(domains);
  if (isOwn(message.reversePath)) return message;
  const recipients = message.recipients.filter(({ address, original }) => isOwn(address) || isOwn(original ?? ''));
  if (recipients.length === message.recipients.length) return message;
  if (recipients.length === 0) return undefined;
  const counts = Map.groupBy(recipients, ({ state }) => state);
  return {
    ...message,
    recipients,
    counts: Object.fromEntries([...counts].map(([state, all]) => [state, all.length])),
  };
}

async function refusalsOf(cluster: Cluster, node: string, search: MailSearch): Promise<Part> {
  const { what, to, since, until = Number.POSITIVE_INFINITY, below, domains } = search;
  const listener = cluster.client(listenerContract);
  // What was refused in the same millisecond as the last of the page before is told apart below.
  const before = below === undefined ? until : Math.min(until, timeOfQueueId(below) + 1);
  const questions = what === undefined ? [to === undefined ? {} : { party: to }] : refusalSearches(what);
  const time = { ...(since !== undefined && { after: since }), ...(Number.isFinite(before) && { before }) };
  const pages = await Promise.all(
    questions.map((question) =>
      listener['refusal-find']({ ...question, ...time, domains, limit: MOST_REFUSALS }, { node }),
    ),
  );
  const horizons = pages.map(({ more, refusals }) => (more ? queueIdFloor(refusals.at(-1)?.at ?? 0) : ''));
  const refusals = new Map(pages.flatMap((page) => page.refusals).map((one) => [JSON.stringify(one), one]));
  const found = [...refusals.values()].flatMap((refusal): FoundMail[] => {
    const own = boundedRefusal(refusal, domains);
    const id = queueIdFloor(refusal.at);
    const isAskedFor = refusal.at >= (since ?? 0) && refusal.at < until && (below === undefined || id < below);
    return own === undefined || !isAskedFor ? [] : [{ kind: 'refused', id, node, refusal: own }];
  });
  return { found, horizon: highest(horizons) };
}

/** Of the refusal of what comes from elsewhere, the recipients of these domains alone; undefined where it has none. */
export function boundedRefusal(refusal: RefusedMail, domains: readonly string[] | undefined): RefusedMail | undefined {
  const isOwn = ownAddresses(domains);
  if (isOwn(refusal.from ?? '') || isOwn(refusal.user ?? '')) return refusal;
  const to = refusal.to.filter(isOwn);
  return to.length === 0 ? undefined : { ...refusal, to, recipients: to.length };
}

function merged(parts: readonly Part[], limit: number): Pick<MailPage, 'found' | 'next'> {
  const horizon = highest(parts.map((part) => part.horizon));
  const known = parts.flatMap(({ found }) => found).filter(({ id }) => id >= horizon);
  const all = oneOfEach(known).sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
  const last = all[limit - 1];
  if (last === undefined) return { found: all, ...(horizon !== '' && { next: horizon }) };
  // Refusals of one millisecond have one id, so they go together.
  const found = all.filter(({ id }, n) => n < limit || id === last.id);
  return { found, ...((found.length < all.length || horizon !== '') && { next: last.id }) };
}

/** A message that several nodes know is in it once. */
function oneOfEach(found: readonly FoundMail[]): FoundMail[] {
  const messages = Map.groupBy(
    found.filter((one) => one.kind === 'message'),
    ({ id }) => id,
  );
  const refusals = found.filter(({ kind }) => kind === 'refused');
  return [
    ...[...messages].map(([id, all]): FoundMail => {
      return { kind: 'message', id, message: mostTelling(all.map(({ message }) => message)) };
    }),
    ...refusals,
  ];
}

function highest(horizons: readonly string[]): string {
  return horizons.reduce((a, b) => (a >= b ? a : b), '');
}
