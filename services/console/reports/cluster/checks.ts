import type { Member } from '#cluster/members/member-contract.ts';
import { formatDuration } from '#shared/units.ts';
import { CLUSTER_CERTIFICATE_CHECKS } from '../certificates/checks.ts';
import { damagedMailFindings, damageFindings, voidCopyFindings } from '../damage.ts';
import { clockFindings, missingNeks } from '../doctor/checks-nodes.ts';
import { type Finding, listText, runChecks } from '../doctor/finding.ts';
import { type ClusterFacts, type ProcessFacts, voidCopies } from './facts.ts';
import { MEMBER_FINDINGS } from './members.ts';

/**
 * What `sealpost cluster status` reports below its table: which processes are gone, and what the nodes do not agree
 * about.
 */

/** A process that has just started may not have been heard by all others, nor have heard them. */
const FRESH_MS = 3000;
/** Services that keep mail or keys. */
const KEEPERS = ['router', 'credential-store'];

type Check = (facts: ClusterFacts) => Finding[];

/** Those that look at nothing but what was heard. */
const MEMBER_CHECKS: Record<string, Check> = { 'bus-away': away, gone };

/** Every check by its name, which programs may rely on. */
export const CLUSTER_CHECKS: Record<string, Check> = {
  ...MEMBER_CHECKS,
  unreachable,
  unheard,
  'same-name': twins,
  refusing,
  lease,
  copies,
  'log-dropped': logDropped,
  'store-damaged': ({ processes }) => damageFindings(processes.flatMap((p) => p.damage ?? [])),
  'mail-damaged': ({ processes }) => damagedMailFindings(processes.flatMap((p) => p.damagedMail ?? [])),
  'copies-void': ({ processes }) => voidCopyFindings(processes.flatMap(voidCopies)),
  'keys-behind': ({ processes }) =>
    processes.flatMap(({ member, keys }) =>
      keys?.behind === undefined
        ? []
        : [
            {
              severity: 'warning',
              about: `node ${member.node}`,
              text: `does not have the newest keys: ${keys.behind}`,
              help: 'it catches up by itself when it reaches the others; "sealpost doctor" says more',
            },
          ],
    ),
  'keys-differ': ({ processes }) =>
    disagreement(
      processes.filter((p) => p.keys !== undefined && p.keys.behind === undefined),
      (p) => `revision ${p.keys?.revision}`,
      'the keys',
      'see the log of the node with the lower one; after a restart it asks for all keys again',
    ),
  'key-exposed': ({ processes }) =>
    [...new Set(processes.flatMap((p) => p.exposed ?? []))].map((key) => ({
      severity: 'error',
      about: key,
      text: 'is compromised and may still be in DNS: mail forged with it passes until every name server has its revocation',
      help: '"sealpost doctor" says what keeps it there',
    })),
  'versions-differ': ({ processes }) =>
    disagreement(
      living(processes),
      (p) => `version ${p.member.version}`,
      'Sealpost',
      'finish the upgrade: one version and the next understand each other, others need not',
    ),
  'contracts-differ': ({ processes }) =>
    keysOf(processes, (p) => p.member.contracts).flatMap((name) =>
      disagreement(
        living(processes).filter((p) => name in p.member.contracts),
        (p) => `version ${p.member.contracts[name]}`,
        `contract ${name}`,
        'finish the upgrade',
      ),
    ),
  ...Object.fromEntries(
    Object.entries(MEMBER_FINDINGS).map(([name, find]): [string, Check] => [
      name,
      ({ processes }) => find(processes.map(({ member }) => member)),
    ]),
  ),
  'nek-missing': ({ neks = [] }) => missingNeks(neks),
  ...Object.fromEntries(
    Object.entries(CLUSTER_CERTIFICATE_CHECKS).map(([name, find]): [string, Check] => [
      name,
      ({ certificates }) => (certificates === undefined ? [] : find(certificates)),
    ]),
  ),
  'clocks-differ': ({ processes }) =>
    clockFindings(processes.flatMap(({ member: { node }, clock }) => (clock === undefined ? [] : [{ node, clock }]))),
};

export function examineCluster(facts: ClusterFacts): (Finding & { check: string })[] {
  return runChecks(CLUSTER_CHECKS, facts);
}

/** What can be said of processes without asking them. */
export function examineMembers(facts: Pick<ClusterFacts, 'node' | 'away'> & { members: readonly Member[] }) {
  const { members, ...own } = facts;
  return runChecks(MEMBER_CHECKS, { ...own, processes: members.map((member) => ({ member })) });
}

const answers = (p: ProcessFacts): boolean => p.trouble === undefined && p.sees !== undefined;
const living = (processes: readonly ProcessFacts[]): ProcessFacts[] =>
  processes.filter((p) => answers(p) || p.member.state !== 'gone');
const names = (processes: readonly ProcessFacts[]): string[] => [...new Set(processes.map((p) => p.member.node))];
const run = ({ member }: ProcessFacts): string => listText(member.services);

function away({ node, away: ms, processes }: ClusterFacts): Finding[] {
  if (ms === undefined) return [];
  const others = processes.filter((p) => p.sees === undefined && !p.member.stopped);
  const last = others.map(({ member }) => `${member.node} ${formatDuration(member.heard)} ago`);
  const heard =
    last.length === 0 ? 'it has heard of no other process' : `it last heard ${listText([...new Set(last)])}`;
  return [
    {
      severity: 'error',
      about: `node ${node}`,
      text: `has not reached NATS for ${formatDuration(ms)}: ${heard}; what is up now is unknown`,
      help: 'see that NATS runs and that this node reaches it; its own mail goes on meanwhile',
    },
  ];
}

/** Processes that no other hears; a node that is cut off hears none. */
function gone({ away: ms, processes }: ClusterFacts): Finding[] {
  if (ms !== undefined) return [];
  return processes.flatMap((p): Finding[] => {
    const { node, state, stopped, heard, services, failed } = p.member;
    // What could not start is told of with the reason.
    if (state !== 'gone' || answers(p) || failed !== undefined) return [];
    const since = formatDuration(heard);
    const help = `start it; if it was taken out for good, "sealpost cluster forget ${node}"`;
    if (!stopped)
      return [
        { severity: 'error', about: `node ${node}`, text: `nothing was heard of its ${run(p)} for ${since}`, help },
      ];
    // A service that keeps nothing may come and go.
    if (!services.some((service) => KEEPERS.includes(service))) return [];
    return [{ severity: 'warning', about: `node ${node}`, text: `its ${run(p)} was stopped ${since} ago`, help }];
  });
}

function unreachable({ away: ms, processes }: ClusterFacts): Finding[] {
  if (ms !== undefined) return [];
  return processes
    .filter((p) => p.member.state !== 'gone' && p.trouble !== undefined)
    .map((p) => ({
      severity: 'error',
      about: `node ${p.member.node}`,
      text: `its ${run(p)} was heard ${formatDuration(p.member.heard)} ago but does not answer: ${p.trouble}`,
      help: 'see its log and the log of nats-server; a process that hangs must be restarted',
    }));
}

/** Processes that answer this command, but that another one that answers does not hear. */
function unheard({ processes }: ClusterFacts): Finding[] {
  const old = ({ member, clock = 0 }: ProcessFacts): boolean => Date.now() - (member.started - clock) > FRESH_MS;
  const present = processes.filter((p) => answers(p) && old(p));
  return present.flatMap((viewer) => {
    const lost = present.filter(({ member }) => {
      const seen = viewer.sees?.find((m) => m.process === member.process);
      return seen === undefined || seen.state === 'gone';
    });
    if (lost.length === 0) return [];
    const them = listText(names(lost));
    return [
      {
        severity: 'error',
        about: `node ${viewer.member.node}`,
        text: `its ${run(viewer)} does not hear ${them}, which this command reaches`,
        help: 'see that the NATS servers reach each other, and that all were given the same users',
      },
    ];
  });
}

/** A queue that lost its lease delivers nothing that has a copy elsewhere. */
function lease({ processes }: ClusterFacts): Finding[] {
  return processes.flatMap(({ member: { node }, queue }): Finding[] => {
    const held = queue?.copies;
    if (held?.lease !== 'lost' || held.elsewhere === 0) return [];
    const since = held.renewed === undefined ? 'since its start' : `for ${formatDuration(Date.now() - held.renewed)}`;
    return [
      {
        severity: 'error',
        about: `node ${node}`,
        text: `has not been able to renew its lease ${since}: ${held.elsewhere} messages wait, or are taken over by others`,
        help: 'see that a majority of the NATS servers runs with JetStream and that this node reaches them',
      },
    ];
  });
}

function copies({ processes }: ClusterFacts): Finding[] {
  return processes.flatMap(({ member: { node }, queue }): Finding[] => {
    const missing = queue?.copies?.missing ?? 0;
    if (missing === 0) return [];
    return [
      {
        severity: 'warning',
        about: `node ${node}`,
        text: `has ${missing} messages without a second copy`,
        help: 'they get one by themselves while another router takes it: look for one that is gone or refuses',
      },
    ];
  });
}

/** Two queues or two stores of one name: a call to that name reaches either. */
function twins({ processes }: ClusterFacts): Finding[] {
  return KEEPERS.flatMap((service) => {
    const all = processes.filter((p) => answers(p) && p.member.services.includes(service));
    return names(all)
      .filter((node) => all.filter((p) => p.member.node === node).length > 1)
      .map((node) => ({
        severity: 'error',
        about: `node ${node}`,
        text: `has more than one ${service}: two machines have this node.name`,
        help: 'give each its own node.name',
      }));
  });
}

function refusing({ processes }: ClusterFacts): Finding[] {
  return processes.flatMap(({ member: { node }, queue }) =>
    queue?.refusing === undefined
      ? []
      : [
          {
            severity: 'warning',
            about: `node ${node}`,
            text: `its router takes no mail: ${queue.refusing}`,
            help: 'other routers take it meanwhile',
          },
        ],
  );
}

/** Mail goes on where the log cannot be written. */
function logDropped({ processes }: ClusterFacts): Finding[] {
  return processes.flatMap((p): Finding[] => {
    const { node, logDropped: lines = 0 } = p.member;
    if (lines === 0) return [];
    return [
      {
        severity: 'warning',
        about: `node ${node}`,
        text: `the log of its ${run(p)} has lost ${lines} lines since its start`,
        help: 'its output was full or not read: see to the disk of the log, or to the program that reads it',
      },
    ];
  });
}

function keysOf(processes: readonly ProcessFacts[], pick: (p: ProcessFacts) => object): string[] {
  return [...new Set(processes.flatMap((p) => Object.keys(pick(p))))].sort();
}

/** One finding where not all have the same of something. */
function disagreement(
  processes: readonly ProcessFacts[],
  have: (p: ProcessFacts) => string,
  what: string,
  help: string,
): Finding[] {
  const groups = Map.groupBy(processes, have);
  if (groups.size < 2) return [];
  const sides = [...groups].map(([value, members]) => `${value} on ${listText(names(members))}`);
  return [{ severity: 'warning', about: what, text: `not the same on all nodes: ${sides.join('; ')}`, help }];
}
