import { createHash } from 'node:crypto';
import type { Config } from './schema/schema.ts';

/**
 * Digests of what must be the same in the configuration of every node, by section, so that nodes can compare it without
 * showing it: domains, and how their keys live and get into DNS. Secrets are left out. The name servers to ask may differ
 * from site to site.
 */
export function configDigests(config: Config): Record<string, string> {
  const known = digests.get(config);
  if (known !== undefined) return known;
  const made = {
    domains: digest(config.domains.toSorted((a, b) => (a.name < b.name ? -1 : 1))),
    keys: digest(config.keys),
    // A secret shows nothing of itself as JSON.
    dns: digest(config.dns.zones),
  };
  digests.set(config, made);
  return made;
}

/** A configuration in force is never changed in place. */
const digests = new WeakMap<Config, Record<string, string>>();

const digest = (section: unknown): string =>
  createHash('sha256').update(JSON.stringify(section)).digest('hex').slice(0, 16);
