import type { Settings } from '#cluster/config/settings.ts';
import type { Copies } from './copies/copies.ts';
import { heldCopyOf } from './copies/held-copies.ts';
import type { Corrupt } from './store/corrupt.ts';

/** What this node knows of a message that is not in its queue. */
export function placeOf(
  { copies, corrupt }: { copies: Copies; corrupt: Corrupt },
  { current: { node, receipts } }: Settings,
  queueId: string,
) {
  const held = heldCopyOf(queueId, copies);
  return {
    ...{ node: node.name, keep: receipts.keep },
    ...(corrupt.has(queueId) && { corrupt: true as const }),
    ...(held !== undefined && { held }),
  };
}
