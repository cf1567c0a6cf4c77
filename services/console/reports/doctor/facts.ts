import { setTimeout as delay } from 'node:timers/promises';
import { missingSources } from '#cluster/config/rules/routes.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { isSameOrSubdomain, normalizeDomain } from '#shared/address/address.ts';
import { nearest } from '#shared/address/domains.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import type { Clients } from '../clients.ts';
import { gatherCluster, voidCopies } from '../cluster/facts.ts';
import { askEach, type CredentialStore, listKeys } from '../keys/key-list.ts';
import type { CheckedKey, Facts, StoreStatus } from './finding.ts';
import type { UnsignedMail } from './sent-mail.ts';

/** Asks the store for all that the checks look at; of one domain, or of all. */

/** A change reaches every node within a moment; a node that has not seen it by then does not follow. */
const SETTLE_MS = 2000;

/** What was asked of other services than the store. */
type Gathered = Pick<
  Facts,
  | 'damage'
  | 'damagedMail'
  | 'voidCopies'
  | 'members'
  | 'exposures'
  | 'ldap'
  | 'consoles'
  | 'filters'
  | 'lostTls'
  | 'waiting'
  | 'directives'
  | 'certificates'
  | 'webhooks'
> & {
  unsigned: readonly UnsignedMail[];
};

export async function gatherFacts(
  store: CredentialStore,
  config: Config,
  { unsigned, ...gathered }: Gathered,
  only: string | undefined,
): Promise<Facts> {
  const domain = only === undefined ? undefined : normalizeDomain(only);
  const [status, { keys: stored }, { neks }] = await Promise.all([
    settledStatus(store),
    listKeys(store),
    store['nek-list']({}),
  ]);
  const scope = domain === undefined ? undefined : scopeOf(domain, config.domains, stored);
  const keys = stored.filter((k) => scope === undefined || scope.signers.includes(k.domain));
  const domains = [...new Set(keys.map((k) => k.domain))];
  const rotations = await askEach(domains, (name) => rotationOf(store, name));
  return {
    now: Date.now(),
    domains: scope?.entries ?? config.domains,
    missingSources: missingSources(config),
    nekAge: config.credentials['nek-age'],
    status,
    stores: await statusOfEach(store, status),
    keys: await askEach(keys, (key) => checkKey(store, key)),
    stored,
    neks,
    rotations: rotations.filter((r) => r !== undefined),
    unsigned: unsigned.filter((u) => domain === undefined || isSameOrSubdomain(u.domain, domain)),
    ...gathered,
  };
}

/**
 * What is looked at for one domain: the entry of the configuration that decides about it, and the domains whose keys sign
 * its mail (services/signer/plan.ts).
 */
function scopeOf(domain: string, domains: Config['domains'], stored: readonly KeyStatus[]) {
  const entry = nearest(domain, (name) => domains.find((d) => d.name === name));
  const parent = nearest(domain, (name) => (stored.some((k) => k.domain === name) ? name : undefined));
  return { entries: entry === undefined ? [] : [entry], signers: [domain, entry?.['sign-as'] ?? parent] };
}

/** Of every process that answers; nothing where nobody knows the processes, which `sealpost cluster status` says. */
export async function gatherDamage(clients: Clients): Promise<Pick<Facts, 'damage' | 'damagedMail' | 'voidCopies'>> {
  try {
    const { processes } = await gatherCluster(clients);
    return {
      damage: processes.flatMap((p) => p.damage ?? []),
      damagedMail: processes.flatMap((p) => p.damagedMail ?? []),
      voidCopies: processes.flatMap(voidCopies),
    };
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.unavailable) throw error;
    return { damage: [] };
  }
}

/** Revisions that differ at first may be a change on its way. */
async function settledStatus(store: CredentialStore): Promise<StoreStatus> {
  const first = await store['status-show']({});
  if (new Set(first.holders.map((h) => h.revision)).size < 2) return first;
  await delay(SETTLE_MS);
  return store['status-show']({}, { node: first.node });
}

async function statusOfEach(store: CredentialStore, own: StoreStatus): Promise<StoreStatus[]> {
  const nodes = new Set(
    own.holders.flatMap((h) => (h.kind === 'credential-store' && h.node !== own.node ? [h.node] : [])),
  );
  const others = await askEach([...nodes], (node) => store['status-show']({}, { node }).catch(() => undefined));
  return [own, ...others.filter((status) => status !== undefined)];
}

async function checkKey(store: CredentialStore, key: KeyStatus): Promise<CheckedKey> {
  const { domain, selector } = key;
  try {
    const { views, unproven } = await store['key-verify']({ domain, selector });
    return { key, views, unproven };
  } catch (error) {
    return { key, views: [], unproven: [], trouble: errorText(error) };
  }
}

async function rotationOf(store: CredentialStore, domain: string): Promise<RotationStatus | undefined> {
  try {
    return await store['rotation-show']({ domain });
  } catch (error) {
    if (errorCode(error) === 'not-found') return undefined;
    throw error;
  }
}
