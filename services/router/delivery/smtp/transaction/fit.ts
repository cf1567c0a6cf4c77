import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Job, Opened, OpenedMessage } from '../../job.ts';
import type { PeerSession } from '../session.ts';

/**
 * The message as this peer takes it, by what it offers; `failed` where it cannot take it. Found out before anything is
 * sent. With 8-bit content, for a peer without 8BITMIME, it is converted to 7 bit or not sent (RFC 6152 §3).
 */
export async function fitForPeer(session: PeerSession, job: Job, message: OpenedMessage): Promise<Opened> {
  const { peer, connection } = session;
  if (job.smtpUtf8 && !peer.smtpUtf8) {
    return unfit(reply(553, '5.6.7', `the message needs SMTPUTF8, and ${connection.peer} does not offer it`));
  }
  let fit = message;
  if (job.eightBitBody && !peer.eightBitMime) {
    const converted = await message.sevenBit?.();
    if (converted === undefined || typeof converted === 'string') {
      const why = converted === undefined ? '' : `, and it is not converted: ${converted}`;
      const text = `the message has 8-bit content, ${connection.peer} does not offer 8BITMIME${why}`;
      return unfit(reply(554, '5.6.3', text));
    }
    if (!converted.ok) return converted;
    fit = converted;
  }
  const { limit } = peer.size;
  if (limit > 0 && fit.size > limit) {
    const text = `the message has ${fit.size} bytes, ${connection.peer} takes at most ${limit}`;
    return unfit(reply(552, '5.3.4', text));
  }
  return fit;
}

function unfit(why: Reply): Opened {
  return { ok: false, state: 'failed', reply: why, local: false };
}
