import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf } from '#shared/address/address.ts';

/** The author of all our reports, where `from` is not set; undefined: there is no name of ours to send them under. */
export function authorOf({ authenticity, domains, node }: Config, from?: string): string | undefined {
  const own = domains.find(({ local }) => local)?.name ?? node.hostname;
  const author = from ?? authenticity.dmarc.reports.from ?? `postmaster@${own}`;
  return domainOf(author).includes('.') ? author : undefined;
}
