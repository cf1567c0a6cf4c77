import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { Announce } from '#shared/contract.ts';
import type { Present, RouterContract } from '../contract.ts';

/**
 * Tell the listeners each second how much waits in this router and whether more may come: they choose among the routers of
 * other nodes by it. Returns how to stop, which immediately says that no more may come.
 */
export function announcePresence(announce: Announce<RouterContract>, present: () => Present): () => void {
  const loop = new AnnounceLoop(() => announce('present', present()));
  loop.start();
  return () => loop.stop(() => announce('present', { ...present(), refusing: 'the router is stopping' }));
}
