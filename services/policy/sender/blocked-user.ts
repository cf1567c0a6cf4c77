import type { PolicyCheck } from '../facts.ts';
import { BLOCKED, blockText, goOn } from '../verdict.ts';

/**
 * A user who was blocked after the log-in sends nothing more in that session. RFC 4954 §6: 530 is the reply to commands other
 * than AUTH where an authentication is wanted and none is in force; 535 is one to AUTH alone. It is permanent, because a
 * client that comes again would meet the block at its log-in. The session is left to the client (RFC 5321 §3.8), who can
 * do nothing with it: a second AUTH is refused (RFC 4954 §4).
 */
export const blockedUser: PolicyCheck<'sender'> = ({ session: { user }, directory }) => {
  const block = user === undefined ? undefined : directory?.block(user);
  if (user === undefined || block === undefined) return goOn();
  return { action: 'reject', reply: { ...BLOCKED, code: 530 }, why: [blockText(user, block)] };
};
