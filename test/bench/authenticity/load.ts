import { once } from 'node:events';
import { connect } from 'node:net';
import type { Sample } from './mail.ts';

/** What a load did: messages that were accepted, refusals by reply, seconds. */
export type Sent = { accepted: number; refused: Record<string, number>; seconds: number };

/** Send these messages in turn, over so many sessions that stay open, for so many seconds. */
export async function send(
  port: number,
  samples: readonly Sample[],
  { sessions, seconds, to = 'reader@dest.test' }: { sessions: number; seconds: number; to?: string },
): Promise<Sent> {
  const sent: Sent = { accepted: 0, refused: {}, seconds };
  const end = performance.now() + seconds * 1000;
  let next = 0;
  const work = async (): Promise<void> => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const replies = repliesFrom(socket);
    const say = async (text: string): Promise<string> => {
      if (text !== '') socket.write(`${text}\r\n`);
      const { value, done } = await replies.next();
      if (done) throw new Error('the connection was lost');
      return value;
    };
    await say('');
    await say('EHLO load.test');
    while (performance.now() < end) {
      const { from, message } = samples[next++ % samples.length] ?? { from: '', message: '' };
      await say(`MAIL FROM:<${from}>`);
      await say(`RCPT TO:<${to}>`);
      await say('DATA');
      const reply = await say(`${message}.`);
      if (reply.startsWith('250')) sent.accepted++;
      else sent.refused[reply] = (sent.refused[reply] ?? 0) + 1;
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: sessions }, work));
  return sent;
}

async function* repliesFrom(socket: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let input = '';
  for await (const bytes of socket) {
    input += bytes.toString('latin1');
    for (;;) {
      const reply = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} ?[^\r\n]*\r\n/.exec(input)?.[0];
      if (reply === undefined) break;
      input = input.slice(reply.length);
      yield reply.trimEnd();
    }
  }
}
