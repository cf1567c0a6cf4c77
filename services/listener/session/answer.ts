import { formatReply, type Reply } from '#shared/reply.ts';

/** A reply, or one of several lines. */
export type Spoken = Reply | { code: number; lines: string[] };

/** What a command is answered with; nothing where it speaks for itself. */
export type Answer = Spoken | undefined;

/** What the next line is when it is no command: a step of an AUTH exchange. */
export type Continuation = (text: string) => Answer | Promise<Answer>;

/** The lines that go over the wire (RFC 5321 §4.2.1). */
export function formatAnswer(answer: Spoken): string {
  if ('text' in answer) return `${printable(formatReply(answer))}\r\n`;
  const last = answer.lines.length - 1;
  return answer.lines.map((line, i) => `${answer.code}${i < last ? '-' : ' '}${printable(line)}\r\n`).join('');
}

/** A line stays one line, whatever text it was built from. */
function printable(line: string): string {
  return /[\x00-\x1f\x7f]/.test(line) ? line.replace(/[\x00-\x1f\x7f]/g, ' ') : line;
}
