import { errorCode } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus, ScheduleStatus } from '#shared/keys/rotation.ts';
import { formatDuration } from '#shared/units.ts';
import { askEach, type CredentialStore, type KeyList, listKeys } from '../../reports/keys/key-list.ts';
import { dnsText, nodesText, noteText, rotationText, scheduleText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { clean, shorten, table } from '../table.ts';

/** `sealpost keys list`: every key, and below the table all that needs a look. */

type Overview = KeyList & { rotations: RotationStatus[]; schedules: ScheduleStatus[]; live: string[] };

export async function list(domain: string | undefined, options: CommonOptions & { wide?: boolean }): Promise<void> {
  const overview = await withStore(options, (store) => ask(store, domain));
  const { live: _, ...value } = overview;
  print(options, value, () => report(overview, options.wide ?? false));
}

async function ask(store: CredentialStore, domain: string | undefined): Promise<Overview> {
  const [keys, { schedules }] = await Promise.all([listKeys(store, domain), store['schedule-list']({})]);
  // Of no use for a single key: a rotation has one that leaves and one that comes.
  const domains = [...Map.groupBy(keys.keys, (k) => k.domain)]
    .filter(([, own]) => own.length > 1)
    .map(([name]) => name);
  const rotations = await askEach(domains, (name) => findRotation(store, name));
  const names = new Set(keys.keys.map((k) => k.domain));
  return {
    ...keys,
    rotations: rotations.filter(
      (r) => r !== undefined && r.state !== 'done' && r.state !== 'rolled-back',
    ) as RotationStatus[],
    schedules: schedules.filter((s) => domain === undefined || names.has(s.domain)),
    live: keys.keys.some(({ nodes }) => nodes.holding.length < nodes.live) ? await liveNodes(store, keys.node) : [],
  };
}

async function findRotation(store: CredentialStore, domain: string): Promise<RotationStatus | undefined> {
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

function report({ node, behind, keys, rotations, schedules, live }: Overview, wide: boolean): string {
  const notes = [
    ...keys.flatMap((key) => noteText(key) ?? []),
    ...rotations.map(rotationText),
    ...schedules.map(scheduleText),
    ...(behind === undefined ? [] : [`warning: ${node} may not know the newest: ${behind}`]),
  ];
  const frozen = new Set(
    rotations
      .filter((r) => r.state === 'frozen')
      .flatMap((r) => [...r.from, ...r.to].map(({ selector }) => `${r.domain}!${selector}`)),
  );
  const rows = keys.map((key) => row(key, { wide, live, frozen: frozen.has(`${key.domain}!${key.selector}`) }));
  const columns = ['DOMAIN', 'SELECTOR', 'STATE', 'AGE', 'ALGORITHM', 'FINGERPRINT', 'NODES', 'DNS'];
  const keyTable = keys.length === 0 ? 'no keys' : table(columns, rows);
  return notes.length === 0 ? keyTable : `${keyTable}\n\n${notes.map(clean).join('\n')}`;
}

/** Bytes of a fingerprint that tell two keys apart at a glance; each takes two digits and a colon. */
const SHORT_BYTES = 8;

function row(key: KeyStatus, { wide, live, frozen }: { wide: boolean; live: string[]; frozen: boolean }): string[] {
  return [
    key.domain,
    key.selector,
    frozen ? `${key.state} (frozen)` : key.state,
    formatDuration(Date.now() - key.created),
    key.algorithm,
    wide ? key.fingerprint : key.fingerprint.slice(0, SHORT_BYTES * 3 - 1),
    nodesText(key, live),
    wide ? dnsText(key) : shorten(dnsText(key), 60),
  ];
}
