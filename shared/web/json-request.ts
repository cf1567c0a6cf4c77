import { type IncomingMessage, request as requestClear } from 'node:http';
import { request as requestTls } from 'node:https';
import { answerTo, bodyOf } from './answer.ts';

/**
 * One question to a server that answers in JSON: an OpenID provider. Whatever comes back is untrusted: time and size are
 * limited, no redirect is followed, and the text of an error holds nothing of what was sent or received.
 */
export type JsonRequest = {
  url: URL;
  /** The fields to post (RFC 6749 §4.4.2); without them it is a GET. */
  form?: URLSearchParams;
  headers?: Record<string, string>;
  /** PEM text of the authorities; undefined: the public ones. */
  ca: Buffer | undefined;
  /** Ends everything: name, connection, handshake, and the last byte of the answer. */
  signal: AbortSignal;
};

/** `value` is undefined where the body is not JSON. */
export type JsonAnswer = { status: number; value: unknown };

/** Bytes of an answer. The largest sets of keys in use have some 20 KB. */
const MOST_BYTES = 256 * 1024;

/** Rejects where there is no complete answer. */
export async function requestJson(request: JsonRequest): Promise<JsonAnswer> {
  try {
    const answer = await send(request);
    return { status: answer.statusCode ?? 0, value: parse((await bodyOf(answer, MOST_BYTES)).toString('utf8')) };
  } catch (error) {
    if (request.signal.aborted) throw new Error('there was no complete answer in time');
    throw error;
  }
}

function send({ url, form, headers, ca, signal }: JsonRequest): Promise<IncomingMessage> {
  const body = form?.toString();
  const options = {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      accept: 'application/json',
      ...headers,
      ...(body !== undefined && {
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': Buffer.byteLength(body),
      }),
    },
    // A connection of its own: questions are rare, and an idle connection that the server has just closed costs an answer.
    agent: false,
    signal,
    // `ca` may name the certificate of the server itself, or an authority in the middle of its chain.
    ...(ca !== undefined && { ca, allowPartialTrustChain: true }),
  } as const;
  return answerTo(url.protocol === 'https:' ? requestTls(url, options) : requestClear(url, options), signal, body);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
