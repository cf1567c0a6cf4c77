import type { DNSResolver } from 'mailauth';
import { encodeName, escapedName } from './name.ts';
import type { MxRecord } from './records.ts';
import { asciiName, type DnsResolver } from './resolver.ts';

/** Our resolver as mailauth takes one: in the shapes and with the errors of `resolve` of node:dns/promises. */

/** `timeoutMs` and `network` of each question: how long to wait for its answer, and whose it is. */
export type MailauthOptions = { timeoutMs: number; network?: string | undefined };

/** Nothing is there: `ENOTFOUND`, `ENODATA`. All of these may pass, which mailauth calls temperror. */
const CODES = { failed: 'ESERVFAIL', refused: 'EREFUSED', silent: 'ETIMEOUT', busy: 'EBUSY' } as const;
const TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'TXT'] as const;
/** Names as nearly all are. */
const ORDINARY = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/i;

export function mailauthResolver(resolver: DnsResolver, { timeoutMs, network }: MailauthOptions): DNSResolver {
  return async (name, asked) => {
    const failure = (code: string, text: string) => noAnswer(`${asked} of ${name}: ${text}`, code, name);
    const type = TYPES.find((known) => known === asked);
    if (type === undefined) throw failure('ENOTIMP', 'mailauth has no use for this type');
    const question = ORDINARY.test(name) ? name : carriedName(name);
    if (question === undefined) throw failure('EBADNAME', 'it is not a name that DNS can carry');
    const answer = await resolver.lookup(question, type, { waitMs: timeoutMs, network });
    if (answer.kind === 'trouble') throw failure(CODES[answer.cause], answer.error);
    if (answer.kind === 'none') throw failure(answer.exists ? 'ENODATA' : 'ENOTFOUND', 'there is none');
    return shaped(type, answer.records);
  };
}

/** Of the caller's own, because mailauth sorts what it gets. Its type leaves out that MX records are not texts. */
function shaped(type: string, records: readonly (string | MxRecord)[]): string[] | string[][] {
  if (type === 'TXT') return (records as string[]).map((text) => [text]);
  return records.map((record) => (typeof record === 'string' ? record : { ...record })) as string[];
}

/** An error without its stack: that there is nothing is an everyday answer, and a stack takes longer than the question. */
function noAnswer(message: string, code: string, hostname: string): Error {
  const error: Error = Object.create(Error.prototype);
  return Object.assign(error, { message, code, hostname });
}

/** As DNS carries it: macros of SPF make names with spaces and backslashes (RFC 7208 §7.3). */
function carriedName(name: string): string | undefined {
  const escaped = escapedName(asciiName(name));
  try {
    return encodeName(escaped).length > 0 ? escaped : undefined;
  } catch {
    return undefined;
  }
}
