import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import { type FoundMessage, type MessageSearch, stateOf } from '#shared/mail/message-search.ts';
import { loadMessage } from '../store/load.ts';
import type { RecipientRecord } from '../store/records.ts';
import type { Slots } from '../store/slots.ts';
import { isAskedFor, ownTest } from './query.ts';
import { readReceipt } from './shown.ts';
import { addressesOf } from './terms.ts';

/** What this node has of a message: in its queue, as its receipt, or as that of another node. */

export type FoundDeps = { settings: Settings; store: Store; slots: Slots };

export type Recorded = Omit<FoundMessage, 'recipients' | 'counts'> & { recipients: readonly RecipientRecord[] };

/** Recipients of a message in the answer to a search. */
const MOST_RECIPIENTS = 10;

/** Undefined where there is nothing of it (any more). Rejects with `corrupt` where its record is damaged. */
export async function readRecorded(deps: FoundDeps, id: string): Promise<Recorded | undefined> {
  return (await inQueue(deps, id)) ?? (await finished(deps, id));
}

async function inQueue({ settings, store, slots }: FoundDeps, queueId: string): Promise<Recorded | undefined> {
  const slot = slots.get(queueId);
  if (slot === undefined) return undefined;
  try {
    const { record, recipients } = await loadMessage(store, queueId);
    const { arrived, reversePath, facts } = record;
    const { size, messageId } = facts;
    const { name: node } = settings.current.node;
    return { queueId, node, state: slot.state, arrived, size, messageId, reversePath, recipients };
  } catch (error) {
    // One that has left meanwhile is damaged to `loadMessage`.
    if (errorCode(error) === 'corrupt' && !slots.has(slot)) return undefined;
    throw error;
  }
}

async function finished(deps: FoundDeps, queueId: string): Promise<Recorded | undefined> {
  const receipt = await readReceipt(deps, queueId);
  return receipt && { queueId, state: 'finished', ...receipt };
}

/** What a search says of it; undefined where it is in another state, or nothing of the domains that are asked about. */
export function foundOf(recorded: Recorded, search: MessageSearch): FoundMessage | undefined {
  const { queueId, node, copy, state, arrived, finished: at, size, messageId, reversePath } = recorded;
  const recipients = ownRecipients(recorded, search);
  const counts: Record<string, number> = {};
  for (const { status } of recipients) counts[status.state] = (counts[status.state] ?? 0) + 1;
  if (recipients.length === 0 || (search.state !== undefined && stateOf({ state, counts }) !== search.state))
    return undefined;
  const asked = recipients.filter((recipient) => isAskedFor(recipient, search));
  const others = asked.length >= MOST_RECIPIENTS ? [] : recipients.filter((recipient) => !asked.includes(recipient));
  const shown = [...asked, ...others].slice(0, MOST_RECIPIENTS).map(({ recipient: { address, original }, status }) => {
    const last = status.state === 'waiting' ? undefined : status.outcome;
    return {
      ...{ address, ...(original !== undefined && { original }), state: status.state },
      ...(last !== undefined && { last: { at: last.at, host: last.host, reply: last.reply } }),
    };
  });
  return {
    ...{ queueId, node, copy, state, arrived, finished: at, size, messageId, reversePath },
    ...{ recipients: shown, counts },
  };
}

/** Of mail from elsewhere only those of the domains that the search is bounded to. */
function ownRecipients({ reversePath, recipients }: Recorded, search: MessageSearch): readonly RecipientRecord[] {
  const isOwn = ownTest(search);
  if (isOwn(reversePath)) return recipients;
  return recipients.filter(({ recipient }) => addressesOf(recipient).some(isOwn));
}
