import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { Announce } from '#shared/contract.ts';
import { errorText } from '#shared/errors.ts';
import type { Present, RouterContract } from '../contract.ts';
import type { Slots } from '../store/slots.ts';
import type { Intake } from './intake.ts';

/**
 * Tell the listeners each second how much waits in this router and whether more may come: they choose among the routers of
 * other nodes by it. Returns how to stop, which immediately says that no more may come.
 */
export function announcePresence(announce: Announce<RouterContract>, present: () => Present): () => void {
  const loop = new AnnounceLoop(() => announce('present', present()));
  loop.start();
  return () => loop.stop(() => announce('present', { ...present(), refusing: 'the router is stopping' }));
}

/** How much is in the queue, and whether more may come. */
export function presenceOf(
  { slots: { counts }, intake }: { slots: Slots; intake: Pick<Intake, 'refusal'> },
  settings: Settings,
): Present {
  let refusing: string | undefined;
  try {
    refusing = intake.refusal()?.message;
  } catch (error) {
    // The free space cannot be determined.
    refusing = errorText(error);
  }
  return {
    node: settings.current.node.name,
    queued: counts.active + counts.deferred + counts.hold,
    ...(refusing === undefined ? {} : { refusing }),
  };
}
