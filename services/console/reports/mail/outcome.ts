import type { Outcome } from '#shared/mail/envelope.ts';
import { formatReply } from '#shared/mail/reply.ts';

/** The last word on a recipient on one line: the reply, and by whom and in which way it was given. */
export function outcomeText({ host, reply, tls, converted }: Outcome): string {
  // Our own words about a connection name its other end already.
  const named = host === undefined || reply.text.includes(host) ? [] : [host];
  const by = [
    ...named,
    ...(tls === undefined ? [] : [tls.protocol]),
    ...(tls?.verified === undefined ? [] : [`verified by ${tls.verified.toUpperCase()}`]),
    ...(converted === true ? ['converted to 7 bit'] : []),
  ].join(', ');
  return by === '' ? formatReply(reply) : `${formatReply(reply)} (${by})`;
}
