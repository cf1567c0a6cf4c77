import { nearest } from '#shared/address/domains.ts';
import type { ZoneConfig } from './schema/schema.ts';

/** The entry of `dns.zones` for the zone that a name is in: of those at or above it, the nearest. */
export function nearestZone(name: string, zones: readonly ZoneConfig[]): ZoneConfig | undefined {
  return nearest(name, (above) => zones.find((zone) => zone.name === above));
}
