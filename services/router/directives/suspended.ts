import { domainOf } from '#shared/address/address.ts';
import { type Directive, directiveText } from '#shared/directive.ts';
import type { JobRecipient, NextHop } from '../delivery/job.ts';
import type { Message } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';
import { keyOf } from './directives.ts';

/**
 * Mail that an operator has suspended. It is looked at once, when its time comes, and then waits here, without an attempt,
 * until the directive ends: what is due then is tried. It is looked at earlier when it may have got another way.
 */

/** What it needs of the directives. */
export type Suspensions = {
  /** Nothing is suspended or redirected. */
  readonly idle: boolean;
  suspension(mail: { domain: string; reversePath: string; hop: string | undefined }): Directive | undefined;
  has(key: string): boolean;
};

const NONE: Suspensions = { idle: true, suspension: () => undefined, has: () => false };

/** The keys of directives that suspend a destination. */
const DESTINATIONS = keyOf({ kind: 'suspend', about: 'destination', name: '' });
/** Where a message is parked that waits for nothing else. */
const SUSPENDED = 'suspended';
/** Whether what a slot is parked for is the end of a directive. */
export const isSuspended = (parked: string | undefined): boolean => parked === SUSPENDED;

export class SuspendedMail {
  readonly #suspensions: Suspensions;
  readonly #waiting = new Map<string, Set<Slot>>();

  constructor(suspensions = NONE) {
    this.#suspensions = suspensions;
  }

  /** What keeps mail to a recipient back. `addressed`: as it was given, and, for junk, as the mailbox that it goes to. */
  of(
    { record }: Pick<Message, 'record'>,
    addressed: readonly { address: string; reversePath?: string | undefined }[],
    hop: NextHop | undefined,
  ): Directive | undefined {
    if (this.#suspensions.idle) return undefined;
    for (const { address, reversePath = record.reversePath } of addressed) {
      const found = this.#suspensions.suspension({ domain: domainOf(address), reversePath, hop: hop?.key });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Why an attempt must not go on, that was made before the directive. */
  reason(message: Message, recipients: readonly JobRecipient[], hop: NextHop): string | undefined {
    if (this.#suspensions.idle) return undefined;
    for (const { index, recipient } of recipients) {
      const given = message.recipients[index]?.recipient ?? recipient;
      const found = this.of(message, [given, recipient], hop.reports ?? hop);
      if (found !== undefined) return `the mail is suspended ${directiveText(found)}`;
    }
    return undefined;
  }

  park(directive: Directive, slot: Slot): void {
    const key = keyOf(directive);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, new Set([slot]));
    else waiting.add(slot);
    slot.parked ??= SUSPENDED;
  }

  /**
   * Those that other directives may let go: theirs has ended, or it is about a destination, and their domain may have been
   * redirected to another one.
   */
  released(): Slot[] {
    return this.#take((key) => !this.#suspensions.has(key) || key.startsWith(DESTINATIONS));
  }

  /** All of them, when routes have changed: their destination may be another one, and the mailbox of their junk too. */
  rerouted(): Slot[] {
    return this.#take(() => true);
  }

  #take(isMeant: (key: string) => boolean): Slot[] {
    const taken = [...this.#waiting].filter(([key]) => isMeant(key));
    for (const [key] of taken) this.#waiting.delete(key);
    return taken.flatMap(([, slots]) => [...slots]);
  }

  forget(slot: Slot): void {
    for (const slots of this.#waiting.values()) slots.delete(slot);
  }
}
