import type { StoreDamage } from '#shared/store-damage.ts';
import { type DamagedStore, type Finding, listText } from './doctor/finding.ts';

/** Damage of the stores on disk, for `sealpost status`, `cluster status` and `doctor`. */

/** Names that one finding lists. */
const LISTED = 10;

export function damageFindings(stores: readonly DamagedStore[]): Finding[] {
  return stores.map(({ node, store, damage }) => ({
    severity: 'error',
    about: `node ${node}`,
    text: `the store of its ${store} was damaged: ${damageText(damage)}`,
    help: `look at the disk; then move or delete ${damage.folder}, which holds what was damaged`,
  }));
}

/** When, what, and whom it concerns. */
export function damageText({ at, what, lostBytes, names, more }: StoreDamage): string {
  const listed = names.slice(0, LISTED);
  const others = names.length - listed.length + more;
  return [
    new Date(at).toISOString(),
    what,
    ...(lostBytes === 0 ? [] : [`${lostBytes} bytes lost`]),
    ...(listed.length === 0 ? [] : [`about ${listText(others === 0 ? listed : [...listed, `${others} more`])}`]),
  ].join(', ');
}
