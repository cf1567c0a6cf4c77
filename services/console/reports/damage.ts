import type { StoreDamage } from '#shared/store-damage.ts';
import { type DamagedStore, type Finding, listText, type NodeMail, type VoidCopies } from './doctor/finding.ts';

/** Damage of the stores on disk, and what stays on it, for `sealpost status`, `cluster status` and `doctor`. */

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

/** Mail that a router has set aside because it is damaged. */
export function damagedMailFindings(mail: readonly NodeMail[]): Finding[] {
  return mail.map(({ node, mail: { queueId, from, to } }) => ({
    severity: 'error',
    about: `node ${node}`,
    text: `message ${queueId} is damaged on its disk and was set aside: ${mailText({ from, to })}`,
    help: `tell sender or recipients, who do not know it; "sealpost queue remove ${queueId} --node ${node}" deletes what is left of it`,
  }));
}

/** Sender and recipients, as far as they are known. */
export function mailText({ from, to }: { from?: string | undefined; to: readonly string[] }): string {
  const listed = to.slice(0, LISTED);
  const recipients = to.length > LISTED ? [...listed, `${to.length - LISTED} more`] : listed;
  const sender = from === undefined ? 'from an unknown sender' : `from ${from || '<>'}`;
  return `${sender}, to ${recipients.length === 0 ? 'unknown recipients' : listText(recipients)}`;
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

/** Copies whose owner alone could say that they are not needed, and does not answer. */
export function voidCopyFindings(all: readonly VoidCopies[]): Finding[] {
  return all.map(({ node, owner, copies }) => ({
    severity: 'warning',
    about: `node ${node}`,
    text: `holds ${copies} void copies of mail of node ${owner}, which is silent: of mail that it had copied nowhere else when it went they are all that is left`,
    help: `start ${owner} with its disk, and they go by themselves; if it is gone for good, "sealpost cluster forget ${owner} --delete-copies" deletes them`,
  }));
}
