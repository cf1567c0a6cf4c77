import { isIP } from 'node:net';
import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { QUEUE_ID } from '#shared/ids.ts';
import type { Cluster } from '../../clients.ts';
import { refusalSearches, subjectOf } from '../question.ts';
import { type FindQuestion, FindReader, mostTelling } from '../reader.ts';
import { nodesOf, type Routers, unheard } from '../routers.ts';
import type { Asked, MailFacts, RefusedAtDoor } from './facts.ts';

/** Asks all nodes what they know of a mail. */

/** `about`: the address that was asked about. Newest first; `more`: there are older ones. */
export type Answers = { found: MailFacts[]; more: boolean; asked: Asked; about: string | undefined };

/** `what`: a queue id, a Message-ID, an address or domain, an IP address of a client, a session or a trace. */
export async function askWhy(cluster: Cluster, what: string, limit: number): Promise<Answers> {
  const members = await cluster.meet();
  const inquiry = new Inquiry(cluster, members, what);
  const [mails, refusals] = await Promise.all([inquiry.mails(limit), inquiry.refusals(limit)]);
  const all = [...mails.found, ...refusals.found].toSorted((a, b) => timeOf(b) - timeOf(a));
  const found = all.slice(0, limit);
  if (found.length === 0) await inquiry.place();
  const more = mails.more || refusals.more || all.length > limit;
  return { found, more, asked: inquiry.asked, about: what.includes('@') ? what : undefined };
}

function timeOf(facts: MailFacts): number {
  if (facts.kind === 'refused') return facts.refusal.at;
  return 'entry' in facts ? facts.entry.arrived : 0;
}

class Inquiry {
  readonly asked: Asked;
  readonly #cluster: Cluster;
  readonly #what: string;
  readonly #members: readonly Member[];
  readonly #routers: Routers;
  readonly #listeners: Routers;
  readonly #silent = new Map<string, string>();
  readonly #answered = new Set<string>();

  constructor(cluster: Cluster, members: readonly Member[], what: string) {
    this.#cluster = cluster;
    this.#what = what;
    this.#members = members;
    this.#routers = nodesOf(members, 'router');
    this.#listeners = nodesOf(members, 'listener');
    if (this.#routers.up.length === 0 && this.#listeners.up.length === 0) {
      const text = 'no router and no listener is up: "sealpost cluster status" shows what is';
      throw new SealpostError(CALL_ERRORS.unavailable, text);
    }
    const inquiry = this;
    this.asked = {
      what,
      get answered() {
        return [...inquiry.#answered].filter((node) => !inquiry.#silent.has(node)).toSorted();
      },
      get silent() {
        return [...inquiry.#silent]
          .map(([node, error]) => ({ node, error }))
          .toSorted((a, b) => (a.node < b.node ? -1 : 1));
      },
      keep: undefined,
      refusalsSince: {},
    };
    for (const node of this.#routers.silent.concat(this.#listeners.silent)) this.#fellSilent(node, unheard());
  }

  /** What routers know. */
  async mails(limit: number): Promise<{ found: MailFacts[]; more: boolean }> {
    const what = this.#what;
    if (isIP(what) !== 0) return { found: [], more: false };
    if (QUEUE_ID.test(what)) {
      const found = await this.#mail(what);
      return { found: found === undefined ? [] : [found], more: false };
    }
    if (!what.includes('@') && !what.includes('.') && !what.startsWith('<')) return { found: [], more: false };
    const { ids, more } = await this.#search(subjectOf(what), limit);
    const found = await Promise.all(ids.map((id) => this.#mail(id)));
    return { found: found.filter((one) => one !== undefined), more };
  }

  /** What listeners refused. */
  async refusals(limit: number): Promise<{ found: RefusedAtDoor[]; more: boolean }> {
    const listener = this.#cluster.client(listenerContract);
    const searches = refusalSearches(this.#what);
    const pages = await this.#each(this.#listeners, (node) =>
      Promise.all(searches.map((search) => listener['refusal-find']({ ...search, limit }, { node }))),
    );
    for (const { node, since } of pages.flat()) this.asked.refusalsSince[node] = since;
    const found = pages
      .flat()
      .flatMap(({ node, refusals }) => refusals.map((refusal) => ({ kind: 'refused' as const, node, refusal })));
    return { found, more: pages.flat().some(({ more }) => more) };
  }

  /** How long receipts are kept, and which routers were stopped with what they have. */
  async place(): Promise<void> {
    const stopped = this.#members.filter((m) => m.stopped && m.state === 'gone' && m.services.includes('router'));
    for (const { node } of stopped)
      if (!this.#routers.up.includes(node)) this.#fellSilent(node, new Error('its router was stopped'));
    await this.#places('');
  }

  async #search(question: FindQuestion, limit: number): Promise<{ ids: string[]; more: boolean }> {
    const reader = new FindReader(this.#cluster, question, (node, error) => this.#fellSilent(node, error));
    const ids: string[] = [];
    for await (const { queueId } of reader.messages(this.#routers.up)) {
      if (ids.length === limit) return { ids, more: true };
      ids.push(queueId);
    }
    for (const node of this.#routers.up) this.#answered.add(node);
    return { ids, more: false };
  }

  async #mail(queueId: string): Promise<MailFacts | undefined> {
    const router = this.#cluster.client(routerContract);
    const answers = await this.#each(this.#routers, (node) => router['message-show']({ queueId }, { node }));
    if (answers.length > 0) {
      const { entry, finished, copy, queued = {} } = mostTelling(answers);
      return finished ? { kind: 'left', entry, copy: copy === true } : { kind: 'queued', entry, queued };
    }
    const places = await this.#places(queueId);
    const damaged = places.find(({ corrupt }) => corrupt === true);
    if (damaged !== undefined) return { kind: 'damaged', queueId, node: damaged.node };
    const holders = places.flatMap(({ node, held }) => (held === undefined ? [] : [{ node, held }]));
    const holder = holders.find(({ held }) => held.claimed || held.takeOver !== undefined) ?? holders[0];
    if (holder === undefined) return undefined;
    const ownerAnswers = places.some(({ node }) => node === holder.held.owner);
    return { kind: 'copied', queueId, holder: holder.node, copy: holder.held, ownerAnswers };
  }

  async #places(queueId: string) {
    const router = this.#cluster.client(routerContract);
    const places = await this.#each(this.#routers, (node) => router['message-place']({ queueId }, { node }));
    for (const { keep } of places) this.asked.keep = Math.max(keep, this.asked.keep ?? 0);
    return places;
  }

  /** What each of these nodes answers; `not-found` is an answer too. */
  async #each<T>({ up }: Routers, ask: (node: string) => Promise<T>): Promise<T[]> {
    const outcomes = await Promise.allSettled(up.map(ask));
    return outcomes.flatMap((outcome, n) => {
      const node = up[n] ?? '';
      if (outcome.status === 'rejected' && errorCode(outcome.reason) !== 'not-found') {
        this.#fellSilent(node, outcome.reason);
        return [];
      }
      this.#answered.add(node);
      return outcome.status === 'fulfilled' ? [outcome.value] : [];
    });
  }

  #fellSilent(node: string, error: unknown): void {
    if (!this.#silent.has(node)) this.#silent.set(node, errorText(error));
  }
}
