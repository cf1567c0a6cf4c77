import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { oneLine } from '#shared/text.ts';

/** A reply, or one of several lines. */
export type SessionReply = Reply | { code: number; lines: string[] };

/** The reply to a command; undefined where the command wrote it. */
export type CommandResult = SessionReply | undefined;

/** In characters; RFC 5321 §4.5.3.1.5 has 512 octets with the code and the line end, which only UTF-8 can exceed. */
const LONGEST = 500;

/** The lines that go over the wire (RFC 5321 §4.2.1); each stays one line, whatever text it was built from. */
export function formatLines(reply: SessionReply): string {
  if ('text' in reply) return `${oneLine(formatReply(reply), LONGEST)}\r\n`;
  const last = reply.lines.length - 1;
  return reply.lines.map((line, i) => `${reply.code}${i < last ? '-' : ' '}${oneLine(line, LONGEST)}\r\n`).join('');
}
