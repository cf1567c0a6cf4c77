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

export function mailauthResolver(resolver: DnsResolver, { timeoutMs, network }: MailauthOptions): DNSResolver {
  return async (name, asked) => {
    const failure = (code: string, text: string) =>
      Object.assign(new Error(`${asked} of ${name}: ${text}`), { code, hostname: name });
    const type = TYPES.find((known) => known === asked);
    if (type === undefined) throw failure('ENOTIMP', 'mailauth has no use for this type');
    // Macros of SPF make names with spaces and backslashes (RFC 7208 §7.3).
    const question = escapedName(asciiName(name));
    if (!isCarried(question)) throw failure('EBADNAME', 'it is not a name that DNS can carry');
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

function isCarried(name: string): boolean {
  try {
    return encodeName(name).length > 0;
  } catch {
    return false;
  }
}
