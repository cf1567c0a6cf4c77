import { routerContract } from '#services/router/contract.ts';
import type { Clients } from '../clients.ts';

/**
 * A queued message of a node, as it would be sent, without signatures, in pieces from a byte on: the first of which may be
 * there already.
 */
export async function* readMessage(
  clients: Clients,
  queueId: string,
  { node, from = 0, first }: { node: string; from?: number; first?: Uint8Array },
): AsyncGenerator<Uint8Array> {
  const router = clients.client(routerContract);
  for (let offset = from, bytes = first; ; ) {
    bytes ??= (await router['message-read']({ queueId, offset }, { node })).bytes;
    if (bytes.length === 0) return;
    yield bytes;
    offset += bytes.length;
    bytes = undefined;
  }
}
