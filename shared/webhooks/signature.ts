import { createHmac } from 'node:crypto';
import type { Secret } from '../secret.ts';

/** Signatures of Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`. */

const PREFIX = 'whsec_';
/** The specification wants 24 to 64 bytes. */
const LEAST_BYTES = 24;
const MOST_BYTES = 64;

/** Why a text is not a secret for webhooks, as the end of a sentence; undefined where it is one. */
export function secretProblem(text: string): string | undefined {
  const base64 = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : '';
  const bytes = Buffer.from(base64, 'base64');
  // Buffer skips what is not base64: only a text that comes back unchanged is the secret that was meant.
  if (base64 === '' || bytes.toString('base64') !== base64) return 'it is not whsec_ and base64';
  if (bytes.length >= LEAST_BYTES && bytes.length <= MOST_BYTES) return undefined;
  return `it has ${bytes.length} bytes, and ${LEAST_BYTES} to ${MOST_BYTES} are wanted`;
}

export type SignedHeaders = { 'webhook-id': string; 'webhook-timestamp': string; 'webhook-signature': string };

/** The headers of a request; one signature for each secret, so that a receiver may know any of them. `now`: ms since 1970. */
export function signedHeaders(id: string, now: number, body: string, secrets: readonly Secret[]): SignedHeaders {
  const timestamp = String(Math.floor(now / 1000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.reveal().slice(PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
