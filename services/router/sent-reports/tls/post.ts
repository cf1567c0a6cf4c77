import { request } from 'node:https';
import { isIP } from 'node:net';
import type { Config } from '#cluster/config/schema/schema.ts';
import { VERSION } from '#cluster/version.ts';
import { answerTo } from '#shared/web/answer.ts';
import { isPublic } from '../../delivery/mail-loop.ts';
import { isMissing, type Resolve } from '../destinations.ts';

/**
 * One POST of a TLS report (RFC 8460 §5.4), to the addresses of its host one after the other. Certificates are not looked
 * at, as §3 permits: who has trouble with them is who should hear of it, and a report by mail is no better protected.
 */

const TIMEOUT_MS = 30_000;
/** Addresses that are tried. */
const MOST_ADDRESSES = 3;

export type PostDeps = { config: Config; resolve: Resolve; signal: AbortSignal };

/** Resolves when it is taken; rejects with the reason, as the end of a sentence, where it is not. */
export async function post(url: string, gzip: Buffer, deps: PostDeps): Promise<void> {
  const target = new URL(url);
  const addresses = await addressesOf(target.hostname.replace(/^\[|\]$/g, ''), deps);
  let last: unknown;
  for (const address of addresses.slice(0, MOST_ADDRESSES)) {
    try {
      return await postTo(address, target, gzip, AbortSignal.any([deps.signal, AbortSignal.timeout(TIMEOUT_MS)]));
    } catch (error) {
      if (error instanceof Refused || deps.signal.aborted) throw error;
      last = error;
    }
  }
  throw last;
}

/** The host answered, and does not take it. */
class Refused extends Error {}

async function addressesOf(host: string, { config, resolve }: PostDeps): Promise<string[]> {
  const found = isIP(host) === 0 ? await lookUp(host, resolve) : [host];
  const reachable = found.filter((address) => isPublic(config, address));
  if (reachable.length > 0) return reachable;
  throw new Error(found.length === 0 ? `${host} has no address` : `${host} is not in the public Internet: ${found}`);
}

async function lookUp(host: string, resolve: Resolve): Promise<string[]> {
  const answers = await Promise.allSettled(['AAAA', 'A'].map((type) => resolve(host, type)));
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? (answer.value as string[]) : []));
  const trouble = answers.find((answer) => answer.status === 'rejected' && !isMissing(answer.reason));
  if (found.length === 0 && trouble?.status === 'rejected') throw trouble.reason;
  return found;
}

async function postTo(address: string, url: URL, gzip: Buffer, signal: AbortSignal): Promise<void> {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const outgoing = request({
    ...{ host: address, port: url.port || 443, path: `${url.pathname}${url.search}`, method: 'POST', signal },
    headers: {
      Host: url.host,
      'Content-Type': 'application/tlsrpt+gzip',
      'Content-Length': gzip.length,
      'User-Agent': `Sealpost/${VERSION}`,
    },
    ...(isIP(name) === 0 && { servername: name }),
    rejectUnauthorized: false,
    agent: false,
  });
  const response = await answerTo(outgoing, signal, gzip);
  // What else it says is of no interest, and may be without end.
  response.destroy();
  const { statusCode = 0 } = response;
  // RFC 8460 says nothing of redirects: they would lead where the record does not.
  if (statusCode < 200 || statusCode >= 300) throw new Refused(`it answers ${statusCode}`);
}
