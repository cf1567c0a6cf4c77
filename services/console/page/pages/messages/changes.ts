import type { ChangeReply, ChangeRequest } from '#services/console/schemas/queue.ts';
import type { Question } from '../../kit/dialog.ts';
import { listText, plural } from '../../kit/format.ts';
import { post } from '../../state/api.ts';

/** What is done with mail that is named, one message or several. */

export type Operation = Exclude<ChangeRequest['operation'], 'reroute'>;

export const LABELS: Record<Operation, string> = {
  retry: 'Retry now',
  hold: 'Hold',
  release: 'Release',
  bounce: 'Return to sender',
  remove: 'Remove',
};

export const DONE: Record<Operation, string> = {
  retry: 'tried now',
  hold: 'held',
  release: 'released',
  bounce: 'returned',
  remove: 'removed',
};

/** What will happen; undefined where nobody needs to be asked. `what`: `message 3F2A`, `12 messages`. */
export function questionOf(operation: Operation, what: string): Question | undefined {
  switch (operation) {
    case 'remove':
      return {
        title: `Remove ${what}?`,
        text: 'It is taken out of the queue for good. Nobody is told: neither the sender nor the recipients hear of it.',
        verb: 'Remove',
        danger: true,
      };
    case 'hold':
      return {
        title: `Hold ${what}?`,
        text: 'It stays in the queue, and no attempt is made, until somebody releases it.',
        verb: 'Hold',
      };
    default:
      return undefined;
  }
}

/** Rejects where nothing was done, or not with all. */
export async function changeNamed(operation: Operation, ids: readonly string[], reason?: string): Promise<number> {
  let count = 0;
  for (let places: ChangeReply['places'] | undefined; ; ) {
    const request: ChangeRequest = {
      ...{ operation, filter: { ids: [...ids] } },
      ...(reason && { reason }),
      ...(places && { places }),
    };
    const reply = await post<ChangeReply>('queue/change', request);
    count += reply.count;
    const { missing, silent } = reply;
    if (missing.length > 0 && silent.length > 0)
      throw new Error(
        `${plural(count, 'message')} ${DONE[operation]}; ${listText(silent.map(({ node }) => node))} did not answer`,
      );
    if (missing.length > 0)
      throw new Error(
        `${plural(count, 'message')} ${DONE[operation]}; ${missing.map(({ reason: why }) => why).join('; ')}`,
      );
    if (reply.done) return count;
    places = reply.places;
  }
}
