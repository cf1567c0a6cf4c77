import type { Reply } from '#shared/reply.ts';
import { TOO_MANY_FROM_CLIENT, TOO_MANY_SESSIONS } from '../replies.ts';

export type SessionLimits = { sessions: number; 'sessions-per-client': number };

/** Concurrent sessions over all listeners of this process, in total and by client address. */
export class SessionCounts {
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Count a session, or return the reply that refuses it; a refused one must not be released. */
  admit(address: string, limits: SessionLimits): Reply | undefined {
    const fromAddress = this.#byAddress.get(address) ?? 0;
    if (this.#total >= limits.sessions) return TOO_MANY_SESSIONS;
    if (fromAddress >= limits['sessions-per-client']) return TOO_MANY_FROM_CLIENT;
    this.#total++;
    this.#byAddress.set(address, fromAddress + 1);
    return undefined;
  }

  release(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    this.#total--;
    if (left === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, left);
  }
}
