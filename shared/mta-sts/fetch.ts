import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { isIPv6, type LookupFunction } from 'node:net';
import { TLSSocket } from 'node:tls';
import { errorText } from '../errors.ts';
import { printable } from '../text.ts';
import { answerTo, bodyOf } from '../web/answer.ts';
import { type PolicyFile, parsePolicyFile } from './policy-file.ts';

/**
 * Fetches the policy of a domain from `https://mta-sts.<domain>/.well-known/mta-sts.txt` (RFC 8461 §3.3).
 *
 * That it is the policy of the domain is proven by the certificate of the web server alone: it must come from a public
 * authority and be for that host, in its subjectAltName. Redirects are not followed, since they would lead to the word of
 * another host, and no proxy or cache is used. A domain is a stranger's word: it must not make us download for ever, nor
 * ask what is behind our own firewall, so time, size and addresses are limited.
 */

/** §3.3 suggests both. */
const LONGEST_MS = 60_000;
const MOST_BYTES = 64 * 1024;
/** Addresses of the web server that are tried, and for how long each until the next one. */
const MOST_ADDRESSES = 4;
const CONNECT_MS = 10_000;
const ONE_AFTER_THE_OTHER = { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: CONNECT_MS };
const MOST_HEADER_BYTES = 16 * 1024;
const PATH = '/.well-known/mta-sts.txt';

/** Why a policy cannot be had, in the terms of TLS reports (RFC 8460 §4.3.2). */
export type StsFailure = 'sts-policy-fetch-error' | 'sts-policy-invalid' | 'sts-webpki-invalid';

export class StsTrouble extends Error {
  readonly type: StsFailure;

  constructor(type: StsFailure, text: string) {
    super(text);
    this.name = 'StsTrouble';
    this.type = type;
  }
}

/** Where policies are fetched, where that is not the public Internet. */
export type WebServers = {
  /** Authorities in PEM, in place of the public ones. */
  ca?: string | undefined;
  port?: number | undefined;
  /** How long one fetch may take. */
  timeoutMs?: number | undefined;
};

export type FetchDeps = WebServers & {
  /** Addresses of a host that may be connected to. */
  addresses: (host: string) => Promise<readonly string[]>;
  /** Fetches end with it. */
  signal: AbortSignal;
};

/** Rejects with `StsTrouble`. */
export async function fetchPolicyFile(domain: string, deps: FetchDeps): Promise<PolicyFile> {
  const { timeoutMs = LONGEST_MS } = deps;
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const text = await fetchText(`mta-sts.${domain}`, { ...deps, signal: AbortSignal.any([late, deps.signal]) });
    const policy = parsePolicyFile(text);
    if ('problem' in policy) throw new StsTrouble('sts-policy-invalid', policy.problem);
    return policy;
  } catch (error) {
    if (error instanceof StsTrouble) throw error;
    const text = late.aborted ? `it took longer than ${timeoutMs / 1000} s` : errorText(error);
    throw new StsTrouble('sts-policy-fetch-error', text);
  }
}

async function fetchText(host: string, { addresses, signal, ca, port = 443 }: FetchDeps): Promise<string> {
  const found = await withSignal(addresses(host), signal);
  if (found.length === 0) {
    throw new StsTrouble('sts-policy-fetch-error', `${host} has no address that may be connected to`);
  }
  const asked = request({
    ...{ host, port, path: PATH, servername: host, signal },
    // A connection of its own, so that nothing of an agent (a proxy, another host's session) comes between.
    agent: false,
    headers: { accept: 'text/plain', 'accept-encoding': 'identity', 'user-agent': 'sealpost' },
    maxHeaderSize: MOST_HEADER_BYTES,
    lookup: lookupOf(found.slice(0, MOST_ADDRESSES)),
    ...ONE_AFTER_THE_OTHER,
    ...(ca !== undefined && { ca }),
    checkServerIdentity: (_name, { raw }) => checkName(host, raw),
  });
  const response = await answerTo(asked, signal).catch((error: unknown) => {
    const { authorizationError } = asked.socket instanceof TLSSocket ? asked.socket : {};
    throw authorizationError ? untrusted(error) : error;
  });
  try {
    return await readText(response);
  } finally {
    response.destroy();
  }
}

/** §3.3: names in the subjectAltName alone, where `*` may be the whole leftmost label. */
function checkName(host: string, raw: Buffer): Error | undefined {
  const names = { subject: 'never', partialWildcards: false } as const;
  return new X509Certificate(raw).checkHost(host, names) === undefined
    ? new Error(`the certificate is not for ${host}`)
    : undefined;
}

function untrusted(error: unknown): StsTrouble {
  return new StsTrouble('sts-webpki-invalid', `the certificate of the web server is not valid: ${errorText(error)}`);
}

async function readText(response: IncomingMessage): Promise<string> {
  const { statusCode = 0, headers } = response;
  if (statusCode !== 200) {
    const why = statusCode >= 300 && statusCode < 400 ? ', and redirects are not followed' : '';
    throw new StsTrouble('sts-policy-fetch-error', `the web server answers ${statusCode}${why}`);
  }
  // Where anybody may upload a page, or a picture, none of these is a policy. Parameters do not matter.
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'text/plain') {
    throw new StsTrouble(
      'sts-policy-invalid',
      `its media type is ${printable(type ?? 'not named', 100)}, not text/plain`,
    );
  }
  const body = await bodyOf(response, MOST_BYTES);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new StsTrouble('sts-policy-invalid', 'it is not text in UTF-8');
  }
}

/** The addresses that are known, whatever is looked up. */
function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, callback) => {
    const [first] = all;
    if (options.all || first === undefined) callback(null, all);
    else callback(null, first.address, first.family);
  };
}

function withSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return Promise.race([promise, ended]).finally(() => signal.removeEventListener('abort', onAbort));
}
