import type { Secret } from '#shared/secret.ts';
import type { ConsoleConfig } from '../schema/schema.ts';
import { SecretReference } from '../secrets.ts';
import { checkAuthorities, checkPair } from '../tls-files.ts';
import { add, type FileCheck, place } from './check.ts';

/** Files and secrets of what is served beside mail: metrics and the console. */

/** Of a bearer token: what is shorter can be guessed. */
const SHORTEST_TOKEN = 20;

export async function checkMetrics(check: FileCheck): Promise<void> {
  const { metrics } = check.config;
  const token = await place(check, ['metrics', 'token'], metrics?.token);
  if (metrics === undefined || token === undefined) return;
  checkBearerToken(check, ['metrics', 'token'], token);
  check.config = { ...check.config, metrics: { ...metrics, token } };
}

/** `withListener`: a listener of this process reads the certificate of `tls` too, which has been looked at for it. */
export async function checkConsole(check: FileCheck, withListener: boolean): Promise<void> {
  const { console: section, tls } = check.config;
  if (section === undefined) return;
  const { certificate, key } = section;
  if (certificate !== undefined && key !== undefined) add(check, await checkPair(['console'], { certificate, key }));
  else if (!withListener && tls?.certificate !== undefined && tls.key !== undefined) {
    add(check, await checkPair(['tls'], { certificate: tls.certificate, key: tls.key }));
  }
  const tokens: ConsoleConfig['tokens'] = [];
  for (const [i, entry] of section.tokens.entries()) {
    const path = ['console', 'tokens', i, 'token'];
    const token = (await place(check, path, entry.token)) ?? entry.token;
    if (checkBearerToken(check, path, token) && token.reveal().length < SHORTEST_TOKEN) {
      const message = `it has less than ${SHORTEST_TOKEN} characters and could be guessed: "openssl rand -base64 24" makes one`;
      check.problems.push({ path, message });
    }
    tokens.push({ ...entry, token });
  }
  const openid = section.openid && (await placeOpenId(check, section.openid));
  check.config = { ...check.config, console: { ...section, tokens, ...(openid && { openid }) } };
}

async function placeOpenId(check: FileCheck, openid: NonNullable<ConsoleConfig['openid']>) {
  const path = ['console', 'openid'];
  if (openid.ca !== undefined) add(check, await checkAuthorities([...path, 'ca'], openid.ca));
  const secret = await place(check, [...path, 'client-secret'], openid['client-secret']);
  return { ...openid, ...(secret && { 'client-secret': secret }) };
}

/** Whether it is there and clients can send it: RFC 6750 §2.1 has fewer characters, and clients send these. */
function checkBearerToken(check: FileCheck, path: PropertyKey[], token: Secret): boolean {
  // What could not be read is a problem already.
  if (token instanceof SecretReference) return false;
  if (/^[\x21-\x7e]+$/.test(token.reveal())) return true;
  const message = 'no client can show this token: it must be of printable ASCII characters, without spaces';
  check.problems.push({ path, message });
  return false;
}
