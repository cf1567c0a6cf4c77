import type { ZoneConfig } from './schema/schema.ts';

/** The entry of `dns.zones` for the zone that a name is in: of those at or above it, the nearest. */
export function nearestZone(name: string, zones: readonly ZoneConfig[]): ZoneConfig | undefined {
  const above = zones.filter((zone) => name === zone.name || name.endsWith(`.${zone.name}`));
  return above.toSorted((a, b) => b.name.length - a.name.length)[0];
}
