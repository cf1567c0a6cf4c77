import type { Member } from '#cluster/members/member-contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { queueIdFloor } from '#shared/ids.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import type { QueueGroup, SummaryBy } from '#shared/queue/summary.ts';
import { formatDuration } from '#shared/units.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Finding, WaitingMail } from './finding.ts';

/** Mail that waits for an operator, or should not wait: what is held, and copies for archives that have waited for long. */

/** An archive that is away for a night needs nobody. */
const LONG_MS = 24 * 3_600_000;

/** How long a process may take for a part of its queue before it counts as silent. */
const PATIENCE = { timeout: 3000 };
/** Parts of the queue of a router; a part is up to 0.3 s of work. The oldest mail comes first. */
const MOST_PARTS = 20;

/** Ask every router that is known. A router of the version before does not know the question: it says nothing. */
export async function gatherWaitingMail({ client }: Clients, members: readonly Member[]): Promise<WaitingMail> {
  const routers = members.filter(({ state, services }) => state !== 'gone' && services.includes('router'));
  const before = Date.now() - LONG_MS;
  const newest = queueIdFloor(before);
  const ask = async (by: SummaryBy, filter: QueueFilter, until?: string): Promise<QueueGroup[]> => {
    const answers = await askEach(routers, async ({ process }) => {
      const groups: QueueGroup[] = [];
      let after: string | undefined = '';
      for (let n = 0; n < MOST_PARTS && after !== undefined && (until === undefined || after < until); n++) {
        const part: { groups: QueueGroup[]; next?: string | undefined } = await client(routerContract)
          ['queue-summarize']({ by, filter, after }, { ...PATIENCE, node: process })
          .catch(() => ({ groups: [] }));
        groups.push(...part.groups);
        after = part.next;
      }
      return groups;
    });
    return added(answers.flat());
  };
  const [held, copies] = await Promise.all([
    ask('hold', { state: 'hold' }),
    ask('archive', { state: 'deferred', before }, newest),
  ]);
  return { held, copies };
}

function added(groups: readonly QueueGroup[]): QueueGroup[] {
  return [...Map.groupBy(groups, ({ key }) => key)].map(([key, same]) => ({
    key,
    messages: same.reduce((sum, { messages }) => sum + messages, 0),
    oldest: Math.min(...same.map(({ oldest }) => oldest)),
  }));
}

/** Copies that an archive has refused. */
export function heldCopyFindings({ held }: WaitingMail, now: number): Finding[] {
  return held.flatMap((group): Finding[] => {
    const rule = ruleOf(group, 'journal');
    if (rule === undefined) return [];
    return [
      {
        severity: 'error',
        about: `rule ${rule}`,
        text: `its archive does not take the copies of ${amount(group, now)}: they are held`,
        help: 'see that the archive takes them; "sealpost queue list --state hold" names each, with the command that has it tried again',
      },
    ];
  });
}

/** Mail that a rule holds is as somebody wants it, and may be forgotten. */
export function heldMailFindings({ held }: WaitingMail, now: number): Finding[] {
  return held.flatMap((group): Finding[] => {
    const rule = ruleOf(group, 'rule');
    if (rule === undefined) return [];
    return [
      {
        severity: 'note',
        about: `rule ${rule}`,
        text: `holds ${amount(group, now)}`,
        help: '"sealpost queue list --state hold" names each, with the command that delivers it, and queue remove in its place deletes it',
      },
    ];
  });
}

export function waitingCopyFindings({ copies }: WaitingMail, now: number): Finding[] {
  return copies.map((group) => ({
    severity: 'warning',
    about: `archive ${group.key}`,
    text: `has not taken its copies of ${amount(group, now)} yet: they are tried for the expire of their rule, and then held`,
    help: `"sealpost queue summary --by reply --recipient ${group.key}" has its replies`,
  }));
}

function ruleOf({ key }: QueueGroup, by: 'journal' | 'rule'): string | undefined {
  return key.startsWith(`${by} `) ? key.slice(by.length + 1) : undefined;
}

function amount({ messages, oldest }: QueueGroup, now: number): string {
  const age = formatDuration(Math.max(0, now - oldest));
  return messages === 1 ? `a message of ${age} ago` : `${messages} messages, the oldest of ${age} ago`;
}
