import { ReplyParser } from '#services/router/delivery/smtp/reply-parser.ts';
import type { Reply } from '#shared/mail/reply.ts';

/** One line of a peer. */
export function parseReply(line: string): Reply {
  const parser = new ReplyParser();
  parser.push(Buffer.from(`${line}\r\n`));
  const heard = parser.next();
  if (heard === undefined) throw new Error(`not a reply: ${line}`);
  return heard.reply;
}
