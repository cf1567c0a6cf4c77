import type { SessionFacts } from '#services/policy/contract.ts';
import type { Reply } from '#shared/mail/reply.ts';

/**
 * What a mail filter is to the listener, whatever it speaks: one object for one message at one filter.
 *
 * States: open → (`finish`) asked → settled, or (trouble) failed, or (`abort`) aborted. Failed and aborted, it takes bytes
 * and drops them and is always ready. How long it may take and how large the message may be is the matter of its caller
 * (screening.ts), which aborts it.
 */
export type Filter = {
  /** Show it the next bytes. They are kept until they are sent: nobody changes them. */
  write(piece: Buffer): void;
  /** Whether more bytes may come without piling up. */
  readonly ready: boolean;
  /** Called once when `ready` has become true again. */
  onReady: (() => void) | undefined;
  /**
   * That was all of the message: its verdict. Called once. Rejects with `filter-failed` where there is none; the text goes
   * to the log.
   */
  finish(): Promise<FilterVerdict>;
  /** No verdict is wanted any more: close what is open. In any state, any number of times. */
  abort(): void;
};

/** What a filter may know before it sees the first byte. */
export type FilteredMail = {
  facts: SessionFacts;
  /** Of this server. */
  hostname: string;
  queueId: string;
  reversePath: string;
  /** As RCPT named them. */
  recipients: readonly string[];
};

/**
 * A change to the header. Occurrences are counted from 1, or from the last one as -1, among the fields of that name as the
 * filter saw them, whatever other filters change. Names are compared without case. Text is what comes from the filter, in Unicode: what makes a field
 * of it (header-changes.ts) checks it.
 */
export type HeaderChange =
  | { kind: 'add'; name: string; value: string }
  | { kind: 'replace'; name: string; occurrence: number; value: string }
  | { kind: 'remove'; name: string; occurrence: number | 'all' };

/** `said`: what it found, in its words, for the log. */
export type FilterVerdict = {
  said: string;
} /** `hold`: it is accepted, and waits in the queue until an operator releases it. */ & (
  | { action: 'accept'; junk: boolean; changes: readonly HeaderChange[]; hold?: true }
  /** The reply is 5xx or 4xx, and one line of printable ASCII. */
  | { action: 'reject' | 'defer'; reply: Reply }
  /** Accepted for the client, and thrown away. */
  | { action: 'discard' }
);
