import { createHash } from 'node:crypto';
import type { Config } from '../schema/schema.ts';

/**
 * Digests of what must be the same in the configuration of every node, by section, so that nodes can compare it without
 * showing it: domains, how their keys live and get into DNS, and who is told of what. Secrets are left out, and the URLs of
 * webhooks, which may have a token in them. The name servers to ask may differ from site to site.
 */
export function configDigests(config: Config): Record<string, string> {
  const known = digests.get(config);
  if (known !== undefined) return known;
  const made = {
    domains: digest(config.domains.toSorted(byName)),
    keys: digest(config.keys),
    // A secret shows nothing of itself as JSON.
    dns: digest(config.dns.zones),
    webhooks: digest(config.webhooks.toSorted(byName).map(({ name, events, domains }) => ({ name, events, domains }))),
  };
  digests.set(config, made);
  return made;
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);

/** A configuration in force is never changed in place. */
const digests = new WeakMap<Config, Record<string, string>>();

const digest = (section: unknown): string =>
  createHash('sha256').update(JSON.stringify(section)).digest('hex').slice(0, 16);
