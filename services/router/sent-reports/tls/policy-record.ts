import { mailTarget, type Resolve, type Target, textsAt } from '../destinations.ts';

/** Who wants reports on the TLS of a domain's hosts: its record at `_smtp._tls` (RFC 8460 §3). */

/** `urls`: where reports are posted. */
export type Readers = { mail: Target[]; urls: string[] };

/** Of one record; more are not looked at. */
const MOST_READERS = 10;
const LONGEST_URL = 1000;
const FIELD = /^([a-z0-9][a-z0-9_.-]{0,31})=([\x20-\x3a\x3c-\x7e]+)$/i;

/** The readers of a domain; undefined: it asks for no reports. Rejects with an error of DNS where that cannot be told now. */
export async function readersOf(domain: string, resolve: Resolve): Promise<Readers | undefined> {
  const texts = await textsAt(`_smtp._tls.${domain}`, resolve);
  const records = texts.filter((text) => /^v=TLSRPTv1[ \t]*;/.test(text));
  // Where there are several, none counts.
  return records.length === 1 ? readersIn(records[0] ?? '') : undefined;
}

/** What a record says; undefined where it is not as it should be. */
export function readersIn(record: string): Readers | undefined {
  const [, ...fields] = record.split(';').map((field) => field.trim());
  // A `;` may end it.
  if (fields.at(-1) === '') fields.pop();
  const pairs = fields.map((field) => FIELD.exec(field));
  if (pairs.includes(null)) return undefined;
  const values = pairs.flatMap((pair) => (pair?.[1] === 'rua' ? [pair[2] ?? ''] : []));
  if (values.length !== 1) return undefined;
  const uris = (values[0] ?? '').split(',', MOST_READERS).map((uri) => uri.trim());
  if (uris.some((uri) => !/^[\x21-\x7e]+$/.test(uri))) return undefined;
  const mail = uris.flatMap((uri) => (uri.includes('!') ? [] : (mailTarget(uri) ?? [])));
  return {
    mail: mail.filter(({ address }, n) => mail.findIndex((other) => other.address === address) === n),
    urls: [...new Set(uris.flatMap((uri) => urlIn(uri) ?? []))],
  };
}

function urlIn(uri: string): string | undefined {
  if (uri.length > LONGEST_URL || !/^https:\/\//i.test(uri) || !URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  return url.username === '' && url.password === '' ? url.href : undefined;
}
