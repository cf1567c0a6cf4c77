import type { Config, DomainConfig, ZoneConfig } from '#cluster/config/schema/schema.ts';
import { nearestZone } from '#cluster/config/zone.ts';
import { nearest } from '#shared/address/domains.ts';
import type { KeyName } from '#shared/dkim/key-name.ts';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyRecord, Publication } from '../records/domain-record.ts';

/**
 * How the record of a key gets into DNS, and its name there: decided when the key is made, from the configuration of its
 * domain (`keys`) and of the zones (`dns.zones`), and valid for the whole life of the key.
 *
 * The way of a record: publication.ts (how and where) → publish.ts (an update of the zone) → proof.ts (every authoritative
 * server is asked; authority.ts finds them, judge.ts compares what they return) → views.ts (what this node last saw).
 * Another kind of record in DNS needs a decision like this one, its data (shared/dns/), and a comparison like judge.ts.
 */

/** A zone that we may update. */
export type UpdatableZone = ZoneConfig & { update: NonNullable<ZoneConfig['update']> };

/** How a new key will be published. Fails with `not-configured` where the configuration is incomplete. */
export function publicationFor(name: KeyName, config: Pick<Config, 'domains' | 'dns'>): Publication {
  const settings = keySettings(name.domain, config.domains);
  if (settings?.proof === 'none') return { by: 'none' };
  if (settings?.publish === 'cname' && settings.cname !== undefined) {
    const { target, selectors } = settings.cname;
    if (!selectors.includes(name.selector)) {
      throw notConfigured(
        `the CNAMEs of ${name.domain} are for the selectors ${selectors.join(', ')} (keys.cname), not for ${name.selector}`,
      );
    }
    const owner = `${name.selector}.${name.domain}.${target}`;
    return { by: 'cname', zone: zoneOf(owner, config.dns.zones, name).name, target: owner };
  }
  if (settings?.publish === 'manual') return { by: 'manual' };
  const zone = updatableZone(dkimRecordName(name), config.dns.zones);
  if (zone !== undefined) return { by: 'update', zone: zone.name };
  if (settings?.publish === 'update') zoneOf(dkimRecordName(name), config.dns.zones, name);
  return { by: 'manual' };
}

/** The name of a key's TXT record, without the root dot. */
export function recordName(domain: string, key: Pick<KeyRecord, 'selector' | 'publication'>): string {
  return key.publication.by === 'cname' ? key.publication.target : dkimRecordName({ domain, selector: key.selector });
}

/** The selectors that the rotations of a domain use in turn; undefined where every new key gets a new one. */
export function fixedSelectors(domain: string, domains: DomainConfig[]): string[] | undefined {
  const settings = keySettings(domain, domains);
  return settings?.publish === 'cname' ? settings.cname?.selectors.map((s) => s.toLowerCase()) : undefined;
}

/**
 * The zone of a published key as it is configured on this node: the one of its record, also where the entry for that zone
 * came after the key (a zone cut that was overlooked). Fails with `not-configured`.
 */
export function zoneToUpdate(
  domain: string,
  key: KeyRecord,
  { node, dns }: Pick<Config, 'node' | 'dns'>,
): UpdatableZone {
  const { publication } = key;
  const zone = nearestZone(recordName(domain, key), dns.zones);
  if (zone?.update !== undefined) return { ...zone, update: zone.update };
  const name = zone?.name ?? ('zone' in publication ? publication.zone : domain);
  throw notConfigured(
    `node ${node.name}, which drives ${domain}, cannot update ${name}: give it the dns.zones entry that other nodes have`,
  );
}

/** The zone of a name, where we may update it. */
export function updatableZone(name: string, zones: ZoneConfig[]): UpdatableZone | undefined {
  const zone = nearestZone(name, zones);
  return zone?.update === undefined ? undefined : { ...zone, update: zone.update };
}

function zoneOf(owner: string, zones: ZoneConfig[], { domain }: KeyName): UpdatableZone {
  const zone = updatableZone(owner, zones);
  if (zone !== undefined) return zone;
  throw notConfigured(
    `keys of ${domain} must be published at ${owner}, but no entry of dns.zones says how to update its zone`,
  );
}

/** The `keys` settings of the domain's entry, or of that of its nearest parent. */
function keySettings(domain: string, domains: DomainConfig[]): DomainConfig['keys'] | undefined {
  return nearest(domain, (name) => domains.find((d) => d.name === name))?.keys;
}

function notConfigured(message: string): SealpostError {
  return new SealpostError('not-configured', message);
}
