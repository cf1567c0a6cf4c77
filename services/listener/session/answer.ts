import { formatReply, type Reply } from '#shared/reply.ts';
import { oneLine } from '#shared/text.ts';

/** A reply, or one of several lines. */
export type Spoken = Reply | { code: number; lines: string[] };

/** What a command is answered with; nothing where it speaks for itself. */
export type Answer = Spoken | undefined;

/** What the next line is when it is no command: a step of an AUTH exchange. */
export type Continuation = (text: string) => Answer | Promise<Answer>;

/** RFC 5321 §4.5.3.1.5: 512 octets, with the code, the line end, and the mark where it was cut. */
const LONGEST = 500;

/** The lines that go over the wire (RFC 5321 §4.2.1); each stays one line, whatever text it was built from. */
export function formatAnswer(answer: Spoken): string {
  if ('text' in answer) return `${oneLine(formatReply(answer), LONGEST)}\r\n`;
  const last = answer.lines.length - 1;
  return answer.lines.map((line, i) => `${answer.code}${i < last ? '-' : ' '}${oneLine(line, LONGEST)}\r\n`).join('');
}
