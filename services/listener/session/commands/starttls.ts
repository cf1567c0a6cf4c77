import { reply } from '#shared/reply.ts';
import type { Handler } from '../dispatch.ts';
import { NOT_IMPLEMENTED } from '../replies.ts';
import type { Session } from '../session.ts';

/** STARTTLS (RFC 3207 §4). */
export const starttls: Handler = (session, argument) => {
  if (session.secure) return reply(503, '5.5.1', 'TLS is active already');
  switch (tlsOffer(session)) {
    case 'none':
      return NOT_IMPLEMENTED;
    case 'no-certificate':
      return reply(454, '4.7.0', 'TLS is not available right now');
    case 'offered':
      if (argument.trim() !== '') return reply(501, '5.5.4', 'STARTTLS takes no parameters');
      session.startTls();
      return undefined;
  }
};

/** Whether this session may go over to TLS, and if not, why. */
export function tlsOffer(session: Session): 'offered' | 'none' | 'no-certificate' {
  const { tls } = session.listener;
  if (session.secure || tls === 'none' || tls === 'implicit') return 'none';
  return session.wire.canUpgrade() ? 'offered' : 'no-certificate';
}
