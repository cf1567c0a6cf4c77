import { isPlainVia } from '#cluster/config/schema/route.ts';
import { SealpostError } from '#shared/errors.ts';
import type { QueueChange } from '#shared/queue/change.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import { isFinal, type Message, type Recipient } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';

/** What operators ask to be done with mail, and which mail that concerns. */

export type ChangeRequest = {
  operation: QueueChange;
  filter: QueueFilter;
  via?: string | undefined;
  by: string;
  reason?: string | undefined;
  dryRun: boolean;
  after?: string | undefined;
  until?: number | undefined;
  /** Of `remove`, as the version before asks it. */
  notify?: boolean;
};
export type ChangePage = {
  count: number;
  until: number;
  next?: string;
  missing?: { id: string; reason: string }[];
};

/** Which mail operations of the version before are for. */
export type Selection = { queueId: string } | { domain: string } | { all: true };

/** Whether an operation has something to do with a message, as far as its slot says. */
export const CONCERNS: Record<QueueChange, (slot: Slot) => boolean> = {
  retry: ({ state, message }) =>
    state === 'deferred' ||
    (state === 'active' && message?.recipients.some((r) => !r.busy && r.status.state === 'deferred') === true),
  hold: ({ state }) => state !== 'hold',
  release: ({ state }) => state === 'hold',
  remove: () => true,
  bounce: () => true,
  reroute: () => true,
};

export function isRemoval(operation: QueueChange): boolean {
  return operation === 'remove' || operation === 'bounce';
}

/** Where mail is rerouted to; undefined: as its route says. Throws `invalid-directive`. */
export function viaOf({ operation, via = '' }: Pick<ChangeRequest, 'operation' | 'via'>): string | undefined {
  if (operation !== 'reroute' || via === 'route') return undefined;
  if (isPlainVia(via)) return via;
  throw new SealpostError(
    'invalid-directive',
    'mail is rerouted to smtp[s]://host[:port], lmtp://host[:port] or mx, without a user, or back to its route',
  );
}

/** Whether mail that is removed by a filter is meant by this recipient: copies for archives are not what it is for. */
export function isMail({ recipient }: Recipient): boolean {
  return recipient.journal === undefined;
}

/** Whether nothing is left of a message than its copies for archives: those are removed by the id of the message alone. */
export function isArchiveCopy({ recipients }: Message): boolean {
  return recipients.every((recipient) => isFinal(recipient.status) || !isMail(recipient));
}
