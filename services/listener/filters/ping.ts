import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { type FilterAddress, parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { errorText } from '#shared/errors.ts';
import { printable } from '#shared/text.ts';
import { formatDuration } from '#shared/units.ts';
import { MilterConnection } from './milter/connection.ts';
import { negotiate } from './milter/conversation.ts';

/** Asks a filter whether it is there and is what the configuration says, without a message. */

const PATIENCE_MS = 2000;
/** Characters of an answer that matter. */
const MOST_CHARACTERS = 100;
const LONGEST_ERROR = 200;

const PING: Record<FilterConfig['type'], (address: FilterAddress, signal: AbortSignal) => Promise<void>> = {
  rspamd: pingRspamd,
  clamd: pingClamd,
  milter: pingMilter,
};

/** Why it cannot be asked about messages; undefined where it can. Takes two seconds at most. */
export async function pingFilter({ type, url }: FilterConfig): Promise<string | undefined> {
  const address = parseFilterUrl(url)?.address;
  if (address === undefined) throw new Error(`not the URL of a filter: ${url}`);
  const limit = AbortSignal.timeout(PATIENCE_MS);
  try {
    await PING[type](address, limit);
    return undefined;
  } catch (error) {
    if (limit.aborted) return `it does not answer within ${formatDuration(PATIENCE_MS)}`;
    return printable(errorText(error), LONGEST_ERROR);
  }
}

async function pingRspamd(address: FilterAddress, signal: AbortSignal): Promise<void> {
  const request = get({ ...address, path: '/ping', agent: false, signal });
  // Whoever reads the response hears of it.
  request.on('error', () => undefined);
  const [response] = await once(request, 'response');
  expect('pong', await textOf(response), 'rspamd');
}

async function pingClamd(address: FilterAddress, signal: AbortSignal): Promise<void> {
  const socket = connect({ ...address, signal });
  socket.write('zPING\0');
  expect('PONG', await textOf(socket, '\0'), 'clamd');
}

async function pingMilter(address: FilterAddress, signal: AbortSignal): Promise<void> {
  const connection = new MilterConnection(address);
  signal.addEventListener('abort', () => connection.destroy());
  try {
    await connection.open();
    await negotiate(connection);
    connection.end();
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

function expect(wanted: string, answer: string, name: string): void {
  if (answer === wanted) return;
  throw new Error(answer === '' ? 'it gives no answer' : `it answers "${printable(answer)}": it is not ${name}`);
}

/** What comes, up to `end` or as far as it matters; closes the stream. */
async function textOf(stream: Readable, end?: string): Promise<string> {
  let text = '';
  for await (const piece of stream) {
    text += (piece as Buffer).toString('latin1');
    const at = end === undefined ? -1 : text.indexOf(end);
    if (at >= 0) return text.slice(0, at);
    if (text.length >= MOST_CHARACTERS) break;
  }
  return text.slice(0, MOST_CHARACTERS).trim();
}
