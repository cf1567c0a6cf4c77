import type { KeyStatus } from '#shared/keys/key-status.ts';
import { formatDuration } from '#shared/units.ts';
import { frozenKeys, type KeyOverview, keyOverview } from '../../reports/keys/overview.ts';
import { dnsText, nodesText, noteText, rotationText, scheduleText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { clean, shorten, table } from '../table.ts';

/** `sealpost keys list`: every key, and below the table all that needs a look. */

export async function list(domain: string | undefined, options: CommonOptions & { wide?: boolean }): Promise<void> {
  const overview = await withStore(options, (store) => keyOverview(store, domain));
  const { live: _, ...value } = overview;
  print(options, value, () => report(overview, options.wide ?? false));
}

function report({ node, behind, keys, rotations, schedules, live }: KeyOverview, wide: boolean): string {
  const notes = [
    ...keys.flatMap((key) => noteText(key) ?? []),
    ...rotations.map(rotationText),
    ...schedules.map(scheduleText),
    ...(behind === undefined ? [] : [`warning: ${node} may not know the newest: ${behind}`]),
  ];
  const frozen = frozenKeys(rotations);
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
