import type { Channel, Transport } from './channel.ts';
import type { Job, OpenedMessage, RecipientResult } from './job.ts';

/**
 * A transport without a connection: `send` does it all, concurrently for as many jobs as the destination has workers.
 */
export function localTransport(send: (job: Job, message: OpenedMessage) => Promise<RecipientResult[]>): Transport {
  const channel: Channel = { send, usable: true, broken: undefined, close: () => undefined, destroy: () => undefined };
  return { connect: async () => channel };
}
