import { reply } from '#shared/reply.ts';

import type { Job, Opened, OpenedMessage } from '../job.ts';
import type { PeerSession } from './session.ts';

/**
 * The message as this peer takes it: with 8-bit content, for a peer without 8BITMIME, it is converted to 7 bit or
 * returned (RFC 6152 §3).
 */
export async function fitForPeer(session: PeerSession, job: Job, message: OpenedMessage): Promise<Opened> {
  const { peer, connection } = session;
  // One that needs SMTPUTF8 in vain is refused for that.
  if (!job.eightBitBody || peer.eightBitMime || (job.smtpUtf8 && !peer.smtpUtf8)) return message;
  const converted = await message.sevenBit?.();
  if (converted !== undefined && typeof converted !== 'string') return converted;
  const why = converted === undefined ? '' : `, and it is not converted: ${converted}`;
  const text = `the message has 8-bit content, ${connection.peer} does not offer 8BITMIME${why}`;
  return { ok: false, state: 'failed', reply: reply(554, '5.6.3', text), local: false };
}
