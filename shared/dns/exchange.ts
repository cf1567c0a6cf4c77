import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import { errorCode, errorText, reasonText, SealpostError } from '../errors.ts';
import { decodeMessage, encodeMessage, Opcode, peek, type Question, Rcode, type Response, Type } from './message.ts';
import type { Server } from './server.ts';

/**
 * One message to one server, and its response (RFC 1035 §4.2, RFC 7766).
 *
 * By UDP first. A datagram that does not belong to the question is ignored, because anybody may send it: from another
 * address (the socket is connected), with another id or another question, or not a DNS message. After half of the
 * timeout the query is sent again, since a datagram may be lost. Datagrams up to 1232 bytes are accepted; a longer
 * response is truncated (TC) and fetched by TCP, up to 65,535 bytes: a TXT record with an RSA key of 4096 bits needs it.
 *
 * That size is announced by EDNS (RFC 6891). A server without EDNS answers FORMERR or NOTIMP, a broken one BADVERS, and
 * is asked again without, and without AD, which came later too; some, and some firewalls, drop a query with EDNS, so what
 * is sent after half of the timeout is without. By TCP it has no use.
 *
 * There is no cache, no retry at another server and no recursion: a caller that needs them asks a resolver.
 */

/** `timeoutMs` is for UDP and TCP each. `recursion`: the server is a resolver. `signal`: give up. */
export type AskOptions = { timeoutMs: number; recursion?: boolean; signal?: AbortSignal | undefined };
type Limits = Pick<AskOptions, 'timeoutMs' | 'signal'>;

/** What a server answers to EDNS that it does not understand (RFC 6891 §7). */
const NO_EDNS = new Set<number>([Rcode.FORMERR, Rcode.NOTIMP, Rcode.BADVERS]);
/** Size that every path carries unfragmented (DNS Flag Day 2020). */
const UDP_PAYLOAD = 1232;

/**
 * Ask a question. Any rcode is an answer.
 * Fails with `dns-name`, `dns-no-route` (this machine cannot send there), `dns-unreachable` (no answer), and
 * `dns-malformed` (only messages came that are not its answer).
 */
export async function ask(server: Server, question: Question, options: AskOptions): Promise<Response> {
  const { timeoutMs, recursion = false, signal } = options;
  const request = { id: randomInt(0x10000), opcode: Opcode.QUERY, recursion, question };
  // Only of a resolver: whether it has verified what it says.
  const full = { ...request, authenticated: recursion };
  // RFC 6891 §6.1.2: the class of an OPT record is the size of datagrams that we accept.
  const opt = { name: '', type: Type.OPT, class: UDP_PAYLOAD, ttl: 0, rdata: Buffer.alloc(0) };
  const withoutEdns = encodeMessage(full);
  const limits = { timeoutMs, signal };
  let response = await askByUdp(server, [encodeMessage({ ...full, additionals: [opt] }), withoutEdns], limits);
  if (response !== 'truncated' && NO_EDNS.has(response.rcode)) {
    response = await askByUdp(server, [encodeMessage(request)], limits);
  }
  if (response !== 'truncated') return response;
  try {
    return await askByTcp(server, withoutEdns, timeoutMs, signal);
  } catch (error) {
    if (errorCode(error) !== 'dns-unreachable') throw error;
    const text = `the answer is too long for UDP, and by TCP: ${reasonText(error)}; allow TCP to its port ${server.port}`;
    throw new SealpostError('dns-unreachable', text);
  }
}

/** The first query, and after half of the timeout the last one; both have one id and one question. */
function askByUdp(server: Server, queries: Buffer[], { timeoutMs, signal }: Limits): Promise<Response | 'truncated'> {
  const [query = Buffer.alloc(0)] = queries;
  const { promise, resolve, reject } = Promise.withResolvers<Response | 'truncated'>();
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  let unrelated = 0;
  socket.on('error', (error) => reject(unreachable(error)));
  socket.on('message', (bytes) => {
    const head = peek(bytes);
    if (head?.response === true && head.id === query.readUInt16BE(0) && head.truncated) {
      resolve('truncated');
      return;
    }
    try {
      resolve(decodeAnswer(bytes, query));
    } catch {
      unrelated++;
    }
  });
  socket.connect(server.port, server.address, (error?: Error) => {
    if (error !== undefined) reject(unreachable(error));
    else socket.send(query);
  });
  const again = setTimeout(() => socket.send(queries.at(-1) ?? query), timeoutMs / 2);
  const end = setTimeout(() => reject(unrelated === 0 ? noAnswer(timeoutMs) : onlyUnrelated(unrelated)), timeoutMs);
  const abandoned = onAbort(signal, reject);
  return promise.finally(() => {
    clearTimeout(again);
    clearTimeout(end);
    abandoned();
    socket.close();
  });
}

/** Like `ask`, by TCP and with an encoded message (an update, a signed query). */
export function askByTcp(
  server: Server,
  query: Buffer,
  timeoutMs: number,
  signal?: AbortSignal | undefined,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const socket: Socket = connect(server.port, server.address);
  let received = Buffer.alloc(0);
  const timer = setTimeout(() => reject(noAnswer(timeoutMs)), timeoutMs);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(query.length);
  socket.write(Buffer.concat([length, query]));
  socket.on('error', (error) => reject(unreachable(error)));
  socket.on('close', () => reject(new SealpostError('dns-unreachable', 'it closed the connection without an answer')));
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2) return;
    const end = 2 + received.readUInt16BE(0);
    if (received.length < end) return;
    try {
      resolve(decodeAnswer(received.subarray(2, end), query));
    } catch (error) {
      reject(error);
    }
  });
  const abandoned = onAbort(signal, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    abandoned();
    socket.destroy();
  });
}

/** Reject when the signal comes; the function that is returned ends that. */
function onAbort(signal: AbortSignal | undefined, reject: (error: Error) => void): () => void {
  const abort = () => reject(new SealpostError('dns-unreachable', 'nobody waits for an answer any more'));
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  return () => signal?.removeEventListener('abort', abort);
}

/** Fails with `dns-malformed` where the bytes are not the answer to the query. */
function decodeAnswer(bytes: Buffer, query: Buffer): Response {
  if (peek(bytes)?.response === false) throw new SealpostError('dns-malformed', 'a question came instead of an answer');
  const response = decodeMessage(bytes);
  const asked = decodeMessage(query);
  const [question] = response.questions;
  const [wanted] = asked.questions;
  // A refusal need not repeat the question (RFC 2136 §3.8 for updates; some servers for all).
  const repeated = response.questions.length === 0 && response.rcode !== 0;
  const same = response.questions.length === 1 && question?.name === wanted?.name && question?.type === wanted?.type;
  if (response.id !== asked.id || response.opcode !== asked.opcode || !(same || repeated)) {
    throw new SealpostError('dns-malformed', 'the answer belongs to another question');
  }
  return response;
}

const NO_ROUTE = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

function unreachable(error: Error): SealpostError {
  const noRoute = NO_ROUTE.has(errorCode(error) ?? '');
  return new SealpostError(noRoute ? 'dns-no-route' : 'dns-unreachable', `no connection: ${errorText(error)}`);
}

function noAnswer(timeoutMs: number): SealpostError {
  return new SealpostError('dns-unreachable', `no answer within ${timeoutMs / 1000} s`);
}

function onlyUnrelated(count: number): SealpostError {
  return new SealpostError('dns-malformed', `${count} datagrams came, none of them an answer to the question`);
}
