import { readFile } from 'node:fs/promises';
import { Agent as ClearAgent, type IncomingMessage, request as requestClear } from 'node:http';
import { request as requestTls, Agent as TlsAgent } from 'node:https';
import { errorText } from '#shared/errors.ts';
import { answerTo } from '#shared/web/answer.ts';

/**
 * One POST to a webhook, over connections that are kept. Redirects are not followed: they would take what is told to where the
 * configuration does not say. Of the answer no more than its beginning is read, for people.
 */

/** Bytes of the body of an answer that are read, and for how long. */
const MOST_BYTES = 2048;
const BODY_MS = 2000;
const IDLE_MS = 4000;

export type Receiver = { url: URL; agent: TlsAgent | ClearAgent; ca: Buffer | undefined };

export type Answer = { status: number; retryAfter: string | undefined; body: string };

/** `ca`: a PEM file. `connections`: at most so many. Rejects where the file cannot be read. */
export async function receiverAt(url: URL, ca: string | undefined, connections: number): Promise<Receiver> {
  // A receiver closes what is idle when it likes, often after 5 s: before that, we do.
  const kept = { keepAlive: true, maxSockets: connections, timeout: IDLE_MS };
  if (url.protocol !== 'https:') return { url, agent: new ClearAgent(kept), ca: undefined };
  const authorities = ca === undefined ? undefined : await readFile(ca);
  return { url, agent: new TlsAgent({ ...kept, ...trust(authorities) }), ca: authorities };
}

export type Posting = { headers: Record<string, string>; body: string; signal: AbortSignal };

/** Resolves to the answer, whatever its status. Rejects where there is none. */
export async function post(receiver: Receiver, posting: Posting): Promise<Answer> {
  const answer = await send(receiver, posting);
  const { statusCode = 0, headers } = answer;
  return { status: statusCode, retryAfter: headers['retry-after'], body: await beginningOf(answer) };
}

async function send({ url, agent, ca }: Receiver, { headers, body, signal }: Posting): Promise<IncomingMessage> {
  const options = {
    ...{ method: 'POST', signal },
    headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
  };
  const begin = (over: object) =>
    url.protocol === 'https:'
      ? requestTls(url, { ...options, ...trust(ca), ...over })
      : requestClear(url, { ...options, ...over });
  const first = begin({ agent });
  try {
    return await answerTo(first, signal, body);
  } catch (error) {
    // The receiver closed the connection while this was on its way: that says nothing about what it thinks of the event.
    if (!first.reusedSocket || signal.aborted) throw error;
    return answerTo(begin({ agent: false }), signal, body);
  }
}

/** `ca` may name the certificate of the server itself, or an authority in the middle of its chain. */
const trust = (ca: Buffer | undefined) => (ca === undefined ? {} : { ca, allowPartialTrustChain: true });

/** The status has come, so that nothing of the body changes what becomes of the event. Never rejects. */
async function beginningOf(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  const late = setTimeout(() => answer.destroy(), BODY_MS);
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      pieces.push(piece);
      size += piece.length;
      // The rest may be without end. This closes the connection.
      if (size > MOST_BYTES) break;
    }
  } catch {
    // Cut off, or too slow: what has come is enough.
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(pieces).subarray(0, MOST_BYTES).toString();
}

/** Why there is no answer, as the end of a sentence. */
export function failureText(error: unknown, timeoutMs: number): string {
  const isLate = error instanceof Error && error.name === 'TimeoutError';
  return isLate ? `there was no answer within ${timeoutMs / 1000} s` : errorText(error);
}
