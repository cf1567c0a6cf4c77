import { errorCode } from '#shared/errors.ts';
import type { RotationStatus, ScheduleStatus } from '#shared/keys/rotation.ts';
import { askEach, type CredentialStore, type KeyList, listKeys } from './key-list.ts';

/** The keys with their rotations and schedules. `live`: names of all live nodes, where some lack a key. */
export type KeyOverview = KeyList & { rotations: RotationStatus[]; schedules: ScheduleStatus[]; live: string[] };

export async function keyOverview(store: CredentialStore, domain?: string): Promise<KeyOverview> {
  const [keys, { schedules }] = await Promise.all([listKeys(store, domain), store['schedule-list']({})]);
  // Of no use for a single key: a rotation has one that leaves and one that comes.
  const domains = [...Map.groupBy(keys.keys, (k) => k.domain)]
    .filter(([, own]) => own.length > 1)
    .map(([name]) => name);
  const rotations = await askEach(domains, (name) => findRotation(store, name));
  const names = new Set(keys.keys.map((k) => k.domain));
  return {
    ...keys,
    rotations: rotations.filter((r) => r !== undefined && !hasEnded(r)) as RotationStatus[],
    schedules: schedules.filter((s) => domain === undefined || names.has(s.domain)),
    live: keys.keys.some(({ nodes }) => nodes.holding.length < nodes.live) ? await liveNodes(store, keys.node) : [],
  };
}

function hasEnded({ state }: RotationStatus): boolean {
  return state === 'done' || state === 'rolled-back';
}

/** The last rotation of a domain. */
export async function findRotation(store: CredentialStore, domain: string): Promise<RotationStatus | undefined> {
  try {
    return await store['rotation-show']({ domain });
  } catch (error) {
    if (errorCode(error) === 'not-found') return undefined;
    throw error;
  }
}

/** The nodes that live, as `node` hears them. */
export async function liveNodes(store: CredentialStore, node: string): Promise<string[]> {
  const { holders } = await store['status-show']({}, { node });
  return [...new Set(holders.map((h) => h.node))].sort();
}

/** `<domain>!<selector>` of the keys of rotations that are frozen. */
export function frozenKeys(rotations: readonly RotationStatus[]): Set<string> {
  return new Set(
    rotations
      .filter((r) => r.state === 'frozen')
      .flatMap((r) => [...r.from, ...r.to].map(({ selector }) => `${r.domain}!${selector}`)),
  );
}
