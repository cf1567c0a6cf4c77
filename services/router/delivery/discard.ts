import type { Logger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { allRecipients, type Transport } from './channel.ts';
import { localTransport } from './connectionless.ts';

/** Read every message to its end, so that damage is found as with any other transport, and throw it away. */
export function discardTransport(log: Logger): Transport {
  let discarded = 0;
  return localTransport(async (job, message) => {
    let bytes = 0;
    for await (const chunk of message.read()) bytes += chunk.length;
    discarded++;
    log.info({ queueId: job.queueId, trace: job.trace, bytes, discarded }, 'message discarded');
    return allRecipients(job, {
      state: 'delivered',
      reply: reply(250, '2.0.0', `${bytes} bytes discarded`),
      host: 'discard',
      notice: 'final',
    });
  });
}
