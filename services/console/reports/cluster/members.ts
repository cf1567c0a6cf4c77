import type { Member } from '#cluster/members/member-contract.ts';
import { formatDuration } from '#shared/units.ts';
import { type Finding, listText } from '../doctor/finding.ts';

/** What processes say of themselves that somebody must see to: `sealpost cluster status` and `sealpost doctor` both find it. */

export const MEMBER_FINDINGS: Record<string, (members: readonly Member[]) => Finding[]> = {
  'start-failed': startFailed,
  'bus-denied': denied,
  'config-refused': refused,
  'config-differs': differing,
};

const runs = ({ services }: Member): string => listText(services);
const isLive = ({ state }: Member): boolean => state !== 'gone';

/** Processes that could not start, until their node has one that did. */
function startFailed(members: readonly Member[]): Finding[] {
  return members.flatMap((member): Finding[] => {
    const { node, failed, heard } = member;
    if (failed === undefined || members.some((other) => isAnotherTry(other, member))) return [];
    return [
      {
        severity: 'error',
        about: `node ${node}`,
        text: `its ${runs(member)} could not start ${formatDuration(heard)} ago: ${failed.replaceAll('\n', '; ')}`,
        help: 'correct that and start it again; until then the other nodes do its work where they can',
      },
    ];
  });
}

/** Whether a process was started after another one of its node, to do the same. */
function isAnotherTry(later: Member, { node, started, services }: Member): boolean {
  return later.node === node && later.started > started && services.every((one) => later.services.includes(one));
}

/** Subjects that are named; more say no more. */
const MOST_NAMED = 3;

/** Processes that NATS does not permit what they need. */
function denied(members: readonly Member[]): Finding[] {
  return members.flatMap((member): Finding[] => {
    const { node, denied: all = [] } = member;
    if (!isLive(member) || all.length === 0) return [];
    const ways = [
      ['hear', all.filter(({ operation }) => operation === 'subscription')] as const,
      ['publish on', all.filter(({ operation }) => operation === 'publish')] as const,
    ].filter(([, some]) => some.length > 0);
    const what = ways.map(([way, some]) => `${way} ${subjectsText(some.map(({ subject }) => subject))}`);
    const last = formatDuration(Math.min(...all.map(({ ago }) => ago)));
    return [
      {
        severity: 'error',
        about: `node ${node}`,
        text: `NATS does not permit its ${runs(member)} to ${what.join(' and to ')}, last ${last} ago: calls that need it fail or get no answer`,
        help: 'the permissions of the bus are older than this version: "sealpost cluster init" or "nats-config" of this version writes them; give them to every nats-server and reload it (SIGHUP)',
      },
    ];
  });
}

function subjectsText(subjects: readonly string[]): string {
  const more = subjects.length - MOST_NAMED;
  return listText(more > 0 ? [...subjects.slice(0, MOST_NAMED), `${more} more`] : subjects);
}

/** Processes that run with another configuration than their file says. */
function refused(members: readonly Member[]): Finding[] {
  return members.flatMap((member): Finding[] => {
    const { node, refused: reason } = member;
    if (reason === undefined || !isLive(member)) return [];
    return [
      {
        severity: 'error',
        about: `node ${node}`,
        text: `its ${runs(member)} refused a change of the configuration and goes on with the one before: ${reason}`,
        help: 'correct the file, "sealpost config check" lists all that is wrong; a correct one is taken up immediately',
      },
    ];
  });
}

/** Sections that must be the same; another version may know other options, so each is compared with its like. */
function differing(members: readonly Member[]): Finding[] {
  return [...Map.groupBy(members.filter(isLive), ({ version }) => version).values()].flatMap((alike) => {
    const sections = new Set(alike.flatMap(({ config }) => Object.keys(config)));
    return [...sections].toSorted().flatMap((section) => {
      const groups = [...Map.groupBy(alike, ({ config }) => config[section]).values()];
      if (groups.length < 2) return [];
      const sides = groups.map(
        (same, n) => `${listText(namesOf(same, alike))} ${n === 0 ? 'on one side' : 'on another'}`,
      );
      const text = `not the same on all nodes: ${sides.join(', ')}`;
      const help = `make "${section}" the same on every node; a process follows a change of its file immediately`;
      return [{ severity: 'warning', about: `"${section}" of the configuration`, text, help }];
    });
  });
}

/** Their nodes, each with its services where other processes of it are on another side. */
function namesOf(members: readonly Member[], all: readonly Member[]): string[] {
  const isDivided = ({ node }: Member): boolean => all.some((other) => other.node === node && !members.includes(other));
  return [...new Set(members.map((member) => (isDivided(member) ? `${member.node} (${runs(member)})` : member.node)))];
}
