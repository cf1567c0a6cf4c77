import { routerContract } from '#services/router/contract.ts';
import type { Clients } from '../clients.ts';

/** A queued message of a node, as it would be sent, without signatures: from its first piece on. */
export async function* readMessage(
  clients: Clients,
  queueId: string,
  { node, first }: { node: string; first: Uint8Array },
): AsyncGenerator<Uint8Array> {
  const router = clients.client(routerContract);
  let bytes = first;
  for (let offset = 0; bytes.length > 0; ) {
    yield bytes;
    offset += bytes.length;
    ({ bytes } = await router['message-read']({ queueId, offset }, { node }));
  }
}
