import type { AddressPlace } from '#cluster/config/schema/rewrite.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { replaceAddresses } from '../rewrite/header-fields.ts';
import { mapsUnread } from '../sender/canonical-sender.ts';
import { goOn } from '../verdict.ts';
import { tooLargeForBus } from './header.ts';

const PLACES: ReadonlyMap<string, AddressPlace> = new Map([
  ['from', 'header-sender'],
  ['sender', 'header-sender'],
  ['reply-to', 'header-sender'],
  ['to', 'header-recipient'],
  ['cc', 'header-recipient'],
]);

/**
 * As what the maps rewrite the addresses of a field of mail that originates here; undefined where it leaves as it came: it
 * is not an address list, or somebody has signed the header. Whoever asks whether an address is permitted looks at what
 * leaves.
 */
export function placeOf(
  { fields, rewriting }: Pick<PolicyFacts['message'], 'fields' | 'rewriting'>,
  field: HeaderField,
): AddressPlace | undefined {
  const place = PLACES.get(field.name);
  if (place === undefined || !rewriting.rewrites(place) || isSigned(fields)) return undefined;
  return replaceAddresses(field, (address) => address) === undefined ? undefined : place;
}

const isSigned = (fields: PolicyFacts['message']['fields']): boolean =>
  fields.has('dkim-signature') || fields.has('arc-message-signature');

/**
 * The addresses in the header of mail that originates here, by the canonical maps (rewrite/rewriting.ts). A field that is
 * not an address list stays as it is, and so does all of a header that somebody has signed. One that would become too large
 * for the bus is refused for good: it would be too large each time it comes.
 */
export const canonicalHeader: PolicyCheck<'message'> = (facts, accepted) => {
  const { rewriting, fields } = facts;
  if (!accepted.originating || !rewriting.rewrites('header-sender', 'header-recipient')) return goOn();
  if (isSigned(fields)) return goOn(['signed already: its header is not rewritten']);
  let unread = false;
  const changed = rewrite(facts, (address, place) => {
    const canonical = rewriting.canonical(address, place, facts.directory);
    unread ||= canonical === undefined;
    return canonical ?? address;
  });
  if (unread) return mapsUnread('Author');
  if (changed.size === 0) return goOn();
  const header = headerWith(facts, changed);
  const tooLarge = tooLargeForBus(header, facts);
  if (tooLarge !== undefined) return tooLarge;
  const names = [...new Set([...changed.keys()].map((field) => field.name))];
  return goOn([`header fields rewritten: ${names.join(', ')}`], { ...accepted, header });
};

/** The fields that become others. */
function rewrite(
  { fields }: PolicyFacts['message'],
  become: (address: string, place: AddressPlace) => string,
): Map<HeaderField, HeaderField> {
  const changed = new Map<HeaderField, HeaderField>();
  for (const [name, place] of PLACES) {
    for (const field of fields.get(name) ?? []) {
      const after = replaceAddresses(field, (address) => become(address, place));
      if (after !== undefined && after !== field) changed.set(field, after);
    }
  }
  return changed;
}

/** The whole header block, what follows its last field included. */
function headerWith(
  { header, rewriting }: PolicyFacts['message'],
  changed: ReadonlyMap<HeaderField, HeaderField>,
): string {
  const before = header.fields.reduce((length, field) => length + field.raw.length, 0);
  const raws = header.fields.map((field) => {
    const after = changed.get(field);
    if (after === undefined) return field.raw;
    return rewriting.keepOriginal ? `${after.raw}X-Original-${field.raw}` : after.raw;
  });
  return raws.join('') + header.text.slice(before);
}
