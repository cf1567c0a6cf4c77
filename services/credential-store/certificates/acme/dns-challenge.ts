import { setTimeout as delay } from 'node:timers/promises';
import { challengeName } from '#cluster/config/rules/certificates.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { nearestZone } from '#cluster/config/zone.ts';
import { ask } from '#shared/dns/exchange.ts';
import { recordsAt, Type } from '#shared/dns/message.ts';
import { txtOf } from '#shared/dns/txt.ts';
import { SealpostError } from '#shared/errors.ts';
import { authorityOf, type NamedServer, ResolverChain } from '../../dns/authority.ts';
import { removeTxt, replaceTxt } from '../../dns/publish.ts';

/**
 * The proof that a name is ours, in DNS (DNS-01, RFC 8555 §8.4): a TXT record by update of its zone. The authority may ask
 * any name server of the zone, so it is called only when each of those that answer has the record.
 */

export type Challenge = { name: string; value: string };

/** Seconds that caches may keep it. */
const TTL = 60;
const DNS_PORT = 53;
/** How long secondaries may take to have a change. */
const SPREAD_MS = 60_000;
const LOOK_AGAIN_MS = 1000;

/**
 * Write the record, also in place of those that an order before this one left. Fails with `acme-failed`, or as an update
 * does where something else is at the name.
 */
export async function publishChallenge(
  { dns }: Pick<Config, 'dns'>,
  challenge: Challenge,
  left: readonly Challenge[],
): Promise<void> {
  const before = left.flatMap(({ name, value }) => (name === challenge.name ? [value] : []));
  await replaceTxt(zoneOf(dns, challenge.name), { ...challenge, ttl: TTL }, before);
  await spread(dns, challenge);
}

export async function removeChallenge({ dns }: Pick<Config, 'dns'>, { name, value }: Challenge): Promise<void> {
  await removeTxt(zoneOf(dns, name), name, [value]);
}

export const challengeFor = (host: string, value: string): Challenge => ({ name: challengeName(host), value });

/** Fails with `acme-failed`. */
function zoneOf(dns: Config['dns'], name: string) {
  const zone = nearestZone(name, dns.zones);
  if (zone !== undefined) return zone;
  throw new SealpostError('acme-failed', `no entry of dns.zones is for ${name}`);
}

/** Fails with `acme-failed` where a server does not have it in time; one that does not answer is left to the authority. */
async function spread(dns: Config['dns'], challenge: Challenge): Promise<void> {
  const authority = await authorityOf(dns, new ResolverChain(dns), challenge.name, DNS_PORT);
  const deadline = performance.now() + SPREAD_MS;
  for (;;) {
    const lacking = await Promise.all(authority.servers.map((server) => lacks(server, challenge, dns.timeout)));
    const [first] = lacking.filter((server) => server !== undefined);
    if (first === undefined) return;
    if (performance.now() > deadline) {
      throw new SealpostError('acme-failed', `name server ${first} does not have the record at ${challenge.name} yet`);
    }
    await delay(LOOK_AGAIN_MS);
  }
}

async function lacks(server: NamedServer, { name, value }: Challenge, timeoutMs: number): Promise<string | undefined> {
  try {
    const response = await ask(server, { name, type: Type.TXT }, { timeoutMs });
    return recordsAt(response, name, Type.TXT).some((record) => txtOf(record) === value) ? undefined : server.text;
  } catch {
    return undefined;
  }
}
