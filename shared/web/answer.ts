import type { ClientRequest, IncomingMessage } from 'node:http';

/** The answer to a request of HTTP: exactly one outcome, whatever the server does, and no more bytes than wanted. */

/** Sends the request; resolves at the head of the answer. `signal`: that of the request. */
export function answerTo(
  request: ClientRequest,
  signal: AbortSignal,
  body?: Buffer | string,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.on('response', resolve);
  request.on('error', (error) => reject(signal.aborted ? signal.reason : error));
  // A server that answers 101 though nobody asked to switch has no response, and brings no error.
  request.on('upgrade', (answer, socket) => {
    socket.destroy();
    answer.destroy();
    resolve(answer);
  });
  request.on('close', () => reject(new Error('it closes the connection without an answer')));
  request.end(body);
  return promise;
}

/** The body; rejects where it is larger, and ends the connection. */
export async function bodyOf(answer: IncomingMessage, mostBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > mostBytes) throw new Error(`the answer is larger than ${mostBytes / 1024} KB`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
