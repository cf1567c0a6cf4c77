import type { Announce } from '#shared/contract.ts';
import type { Present, RouterContract } from '../contract.ts';

/** How often a router says that it is there, in milliseconds. */
const ANNOUNCE_MS = 1000;

/**
 * Tell the listeners each second how much waits here and whether more may come: they choose among the routers of other
 * nodes by it. Returns the way to stop, which says at once that no more may come.
 */
export function announcePresence(announce: Announce<RouterContract>, present: () => Present): () => void {
  const say = (): void => announce('present', present());
  const timer = setInterval(say, ANNOUNCE_MS);
  say();
  return () => {
    clearInterval(timer);
    announce('present', { ...present(), refusing: 'the router is stopping' });
  };
}
