import { decodeName, malformed, type ReceivedRecord, type Response } from './message.ts';

/** MX records on the wire (RFC 1035 §3.3.9): a preference of two bytes, then the name of the host. */

/** The host of an MX record; '' is the root, which makes it a null MX (RFC 7505 §3). Fails with `dns-malformed`. */
export function exchangeOf(response: Response, { rdata, rdataStart }: ReceivedRecord): string {
  if (rdata.length < 3) throw malformed('an MX record ends too early');
  const { name, end } = decodeName(response.bytes, rdataStart + 2);
  if (end !== rdataStart + rdata.length) throw malformed('a name does not end where its record ends');
  return name;
}
