import type { TriedHost } from '#shared/mail/attempt.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { RecipientResult } from '../job.ts';

/** Why a host cannot be used now; without `host`: why it cannot be found. */
export type Trouble = { reply: Reply; local: boolean; host: string | undefined };

/** What one message has found out about the hosts. */
export class Search {
  /** Targets that were tried, by their keys. */
  readonly tried = new Set<string>();
  /** What came of those that did not take it, in the order in which they were tried. */
  readonly heard: TriedHost[] = [];
  /** Names of hosts that could not be used, and why; without a name: the hosts could not be found out. */
  readonly #unusable = new Map<string | undefined, Trouble>();
  /** Names of hosts that the message does not fit. */
  readonly #unfit = new Set<string>();

  noteUnusable(name: string | undefined, trouble: Trouble): void {
    this.#unusable.set(name, trouble);
    this.note(trouble);
  }

  note({ host, reply }: { host?: string | undefined; reply: Reply }): void {
    if (this.heard.at(-1)?.reply !== reply) this.heard.push(host === undefined ? { reply } : { host, reply });
  }

  noteUnfit(name: string): void {
    this.#unfit.add(name);
  }

  /**
   * Why a host that may take the message cannot be used. Not another address of one that it does not fit: a machine
   * without IPv6 reaches half the addresses of most hosts.
   */
  get obstacle(): Trouble | undefined {
    return [...this.#unusable].find(([name]) => name === undefined || !this.#unfit.has(name))?.[1];
  }
}

/** A result with the hosts that were tried beside the one that decided. */
export function withOthers(result: RecipientResult, heard: readonly TriedHost[]): RecipientResult {
  const others = heard.filter(({ host }) => host === undefined || host !== result.outcome.host);
  return others.length === 0 ? result : { ...result, others };
}

/** The result of a message that fits no host that was asked, while another one cannot be used. */
export function waiting({ index, outcome }: RecipientResult, { reply: why, local, host }: Trouble): RecipientResult {
  const text = `${outcome.reply.text}; ${host ?? 'another host'}, which may take it, cannot be used: ${why.text}`;
  const kept = { ...why, text };
  return {
    index,
    state: 'deferred',
    outcome: { at: outcome.at, ...(host !== undefined && { host }), reply: kept },
    ...(local && { local }),
  };
}
