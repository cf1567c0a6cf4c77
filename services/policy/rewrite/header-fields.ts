import { parseAddressSpans } from '#shared/address/address-list.ts';
import { fieldValue, foldField, type HeaderField } from '#shared/mail/header.ts';

/** RFC 5322 §2.1.1, without the CRLF. */
const LONGEST_LINE = 998;

/**
 * A field with other addresses: display names, comments, groups and folds stay as they are. `become` gets each address as
 * UTF-8 text and returns what takes its place. The field itself where none changes; undefined where it is not an address
 * list, so that it is not clear what its addresses are.
 */
export function replaceAddresses(field: HeaderField, become: (address: string) => string): HeaderField | undefined {
  const { raw } = field;
  const colon = raw.indexOf(':') + 1;
  const value = raw.slice(colon).replace(/\r\n$/, '');
  const spans = parseAddressSpans(value);
  if (spans === undefined) return undefined;
  let text = '';
  let at = 0;
  for (const { address, start, end } of spans) {
    const before = Buffer.from(address, 'latin1').toString();
    const after = become(before);
    if (after === before) continue;
    text += value.slice(at, start) + Buffer.from(after).toString('latin1');
    at = end;
  }
  if (at === 0) return field;
  const rewritten = { ...field, raw: `${raw.slice(0, colon)}${text}${value.slice(at)}\r\n` };
  const fits = rewritten.raw.split('\r\n').every((line) => line.length <= LONGEST_LINE);
  return fits ? rewritten : { ...field, raw: foldField(raw.slice(0, colon - 1), fieldValue(rewritten)) };
}
