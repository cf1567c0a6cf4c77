import type { Channel, Message, Transport } from './channel.ts';
import type { Job, RecipientResult } from './job.ts';

/** A transport that needs no connection: `send` does it all, as often at once as the destination has workers. */
export function localTransport(send: (job: Job, message: Message) => Promise<RecipientResult[]>): Transport {
  const channel: Channel = { send, usable: true, broken: undefined, close: () => undefined, destroy: () => undefined };
  return { connect: async () => channel };
}
