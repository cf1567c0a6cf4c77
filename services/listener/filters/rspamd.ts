import { type IncomingMessage, request } from 'node:http';
import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { errorText } from '#shared/errors.ts';
import type { Filter, FilteredMail } from './filter.ts';
import { rspamdVerdict } from './rspamd-verdict.ts';
import { StreamFilter } from './stream-filter.ts';

/**
 * Asks rspamd about a message: one HTTP request to its normal worker, `POST /checkv2` with a chunked body, on a connection of
 * its own, because a message that was shown half cannot be shown again where a kept connection turns out to be closed. The
 * answer is JSON (rspamd-verdict.ts).
 */

/** Bytes of an answer: it lists every rule that matched. */
const MOST_BYTES = 1024 * 1024;
/** Bytes of recipients that it is told of: it closes the connection where the header of a request has more than 80 KB. */
const MOST_RECIPIENT_BYTES = 48 * 1024;

export function openRspamd({ url }: FilterConfig, mail: FilteredMail): Filter {
  const address = parseFilterUrl(url)?.address;
  if (address === undefined || 'path' in address) throw new Error(`not the URL of rspamd: ${url}`);
  const asked = request({ ...address, method: 'POST', path: '/checkv2', agent: false, headers: headersFor(mail) });
  const filter = new StreamFilter(asked, { show: (piece) => asked.write(piece), end: () => asked.end() });
  asked.on('response', (response) => read(response, filter));
  return filter;
}

function read(response: IncomingMessage, filter: StreamFilter): void {
  const parts: Buffer[] = [];
  let length = 0;
  response.on('data', (part: Buffer) => {
    length += part.length;
    if (length > MOST_BYTES) filter.fail(`its answer has more than ${MOST_BYTES} bytes`);
    else parts.push(part);
  });
  response.on('error', (error) => filter.fail(errorText(error)));
  response.on('end', () =>
    filter.answer(() => rspamdVerdict(response.statusCode ?? 0, Buffer.concat(parts).toString())),
  );
}

/** What rspamd wants to know besides the message, each a header field of the request. */
function headersFor({
  facts,
  hostname,
  queueId,
  reversePath,
  recipients,
}: FilteredMail): Record<string, string | string[]> {
  const { address, name, helo } = facts.client;
  const headers: Record<string, string | string[]> = {
    'Content-Type': 'application/octet-stream',
    'MTA-Name': hostname,
    'Queue-Id': queueId,
    IP: address,
    From: `<${reversePath}>`,
    Rcpt: firstOf(recipients.map((recipient) => headerText(`<${recipient}>`))),
  };
  if (helo !== '') headers['Helo'] = helo;
  if (name !== null) headers['Hostname'] = name;
  if (facts.user !== undefined) headers['User'] = facts.user;
  if (facts.tls !== undefined) {
    headers['TLS-Cipher'] = facts.tls.cipher;
    headers['TLS-Version'] = facts.tls.protocol;
  }
  return Object.fromEntries(
    Object.entries(headers).map(([key, value]) => [key, typeof value === 'string' ? headerText(value) : value]),
  );
}

/** As many as rspamd takes. */
function firstOf(recipients: readonly string[]): string[] {
  let bytes = 0;
  return recipients.filter((recipient) => {
    bytes += recipient.length + 'Rcpt: \r\n'.length;
    return bytes <= MOST_RECIPIENT_BYTES;
  });
}

/** UTF-8 as HTTP carries it, and nothing that ends a line: a client chose these texts. */
function headerText(text: string): string {
  return Buffer.from(text.replace(/[\x00-\x1f\x7f]/g, '?')).toString('latin1');
}
