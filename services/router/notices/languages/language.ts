import type { DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { nearest } from '#shared/address/domains.ts';

/** The language that a reader's notices are written in: of the most specific domain that has one. */
export function languageOf(reader: string, { language, languages }: Config['dsn']): DsnLanguage {
  const ofDomain = (name: string) => (Object.hasOwn(languages, name) ? languages[name] : undefined);
  return nearest(normalizeDomain(domainOf(reader)), ofDomain) ?? language;
}
