import { type HeaderField, splitHeader } from '#shared/mail/header.ts';
import type { Accepted, PolicyFacts } from '../facts.ts';
import { reject } from '../verdict.ts';

/**
 * Bytes of JSON that a header that takes the place of the one received has at most, or twice `limits.header-size` where
 * that is more, which it is only without NATS. It goes to the listener, to the router with the last chunk of the message,
 * and to the holder of a second copy, each in one message of NATS, which carries 1 MB.
 */
const LARGEST = 768 * 1024;
/** A control character is `\u0001` there. */
const MOST_JSON_PER_BYTE = 6;

/** The header as the checks before have left it: its fields, and what follows the last of them. */
export function headerSoFar(
  { header }: Pick<PolicyFacts['message'], 'header'>,
  accepted: Accepted['message'],
): { fields: readonly HeaderField[]; rest: string } {
  const text = accepted.header ?? header.text;
  const fields = accepted.header === undefined ? header.fields : splitHeader(accepted.header);
  return { fields, rest: text.slice(fields.reduce((length, { raw }) => length + raw.length, 0)) };
}

/** Refused for good: it would be too large each time it comes. undefined: it fits. */
export function tooLargeForBus(header: string, { limits }: Pick<PolicyFacts['message'], 'limits'>) {
  const limit = Math.max(LARGEST, 2 * limits['header-size']);
  if (header.length * MOST_JSON_PER_BYTE <= limit || Buffer.byteLength(JSON.stringify(header)) <= limit)
    return undefined;
  const text = 'Message header is larger than this server takes once it is changed';
  return reject(552, '5.3.4', text, [`the changed header would have ${header.length} bytes`]);
}
