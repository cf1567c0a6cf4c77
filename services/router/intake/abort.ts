import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Intake } from './intake.ts';

type AbortRequest = { transfer: string; queueId?: string | undefined; authenticity?: Authenticity | undefined };

/** Give a transfer up, unless its message is in the queue already. */
export async function abortTransfer(
  { intake, views }: { intake: Intake; views: { knows(queueId: string): Promise<boolean> } },
  { transfer, queueId, authenticity: found }: AbortRequest,
): Promise<{ committed?: true }> {
  const aborted =
    (found === undefined ? intake.abort(transfer) : await intake.refuse(transfer, found)) ??
    (queueId === undefined || !(await views.knows(queueId)));
  return aborted ? {} : { committed: true };
}
