import type { z } from 'zod';
import type { RefusedMail } from '#services/listener/contract.ts';
import type { QueuedFacts } from '#shared/mail/queue-entry.ts';
import type { Entry } from '../queued.ts';

/** What the nodes say of a mail that somebody asks about. Times are ms since 1970. */

/** It is in the queue of `entry.node`. */
export type QueuedMail = { kind: 'queued'; entry: Entry; queued: z.output<typeof QueuedFacts> };
/** It has left; `copy`: the receipt is kept by the node that had its second copy. */
export type LeftMail = { kind: 'left'; entry: Entry; copy: boolean };
/** No queue has it, and `holder` has the copy that it keeps for another node. */
export type CopiedMail = {
  kind: 'copied';
  queueId: string;
  holder: string;
  copy: { owner: string; complete: boolean; void: boolean; claimed: boolean; takeOver?: number | undefined };
  /** The owner answered, and does not know the message. */
  ownerAnswers: boolean;
};
export type DamagedMail = { kind: 'damaged'; queueId: string; node: string };
/** A listener refused it. */
export type RefusedAtDoor = { kind: 'refused'; node: string; refusal: RefusedMail };

export type MailFacts = QueuedMail | LeftMail | CopiedMail | DamagedMail | RefusedAtDoor;

/** Which nodes were asked. `keep`: how long receipts are kept in ms; `refusalsSince`: by node, from when on it has all. */
export type Asked = {
  what: string;
  answered: string[];
  silent: { node: string; error: string }[];
  keep: number | undefined;
  refusalsSince: Record<string, number>;
};

/**
 * One sentence for people, and the same for programs. `cause` is stable; the other fields are there where they make sense:
 * `help` is what to do, a clause without its full stop, `until` is when something happens next, `reply` the words that
 * decided.
 */
export type Explanation = {
  cause: Cause;
  sentence: string;
  help?: string;
  node?: string;
  queueId?: string;
  recipient?: string;
  until?: number;
  host?: string;
  reply?: string;
  limit?: string;
  /** The name of the rule that holds it. */
  rule?: string;
  /** Why it does not go where its route says, in the order in which it happened. */
  rerouted?: Rerouted[];
  takenOverFrom?: string;
  step?: string;
  client?: string;
};

/** `operator`: this message alone; `directive`: all mail to its domain. `to`: an address or domain of a rule, else a next hop. */
export type Rerouted = { by: 'rule' | 'operator' | 'directive'; to: string; rule?: string };

export type Cause = WaitingCause | LeftCause | DoorCause | 'unknown';
export type WaitingCause =
  | 'first-attempt'
  | 'under-way'
  | 'next-hop-busy'
  | 'rate-limit'
  | 'suspended'
  | 'held-by-operator'
  | 'held-by-filter'
  | 'held-by-rule'
  | 'held-for-tls'
  | 'dead-letter'
  | 'held-for-archive'
  | 'held'
  | 'blocked'
  | 'store-failing'
  | 'disk-full'
  | 'local-trouble'
  | 'no-route'
  | 'no-address'
  | 'dns-failing'
  | 'unreachable'
  | 'connection-lost'
  | 'login-failed'
  | 'tls-missing'
  | 'key-missing'
  | 'signer-silent'
  | 'deferred-by-host'
  | 'owner-silent'
  | 'taking-over'
  | 'copy-not-needed'
  | 'copy-incomplete'
  | 'damaged';
export type LeftCause = 'delivered' | 'returned' | 'failed' | 'expired' | 'removed';
export type DoorCause = 'refused' | 'refused-for-now' | 'discarded' | 'client-left' | 'connection-failed';
