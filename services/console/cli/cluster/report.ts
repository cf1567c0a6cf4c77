import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { MAIL_SERVICES } from '#services/topology.ts';
import { formatDuration } from '#shared/units.ts';
import { type CertificateFacts, gatherCertificatesIfAny } from '../../reports/certificates/facts.ts';
import { examineCluster } from '../../reports/cluster/checks.ts';
import { type ClusterFacts, gatherCluster, type ProcessFacts } from '../../reports/cluster/facts.ts';
import { needsAttention } from '../../reports/doctor/finding.ts';
import { type Caller, type CommonOptions, openCaller, print } from '../context.ts';
import { EXIT } from '../exit.ts';
import { findingLine } from '../findings.ts';
import { table } from '../table.ts';

/** Prints the processes of the cluster and what they do not agree about. */

export async function clusterStatus(options: CommonOptions): Promise<void> {
  await using caller = await openCaller(options);
  const gathered = await gatherCluster(caller);
  const certificates = await certificatesOf(caller, gathered);
  const facts = certificates === undefined ? gathered : { ...gathered, certificates };
  const findings = examineCluster(facts);
  const ok = !needsAttention(findings);
  const { node, away } = facts;
  const processes = facts.processes.map((p) => forPrograms(p, facts));
  print(options, { ok, node, ...(away !== undefined && { away }), processes, findings }, () =>
    [
      table(
        COLUMNS,
        facts.processes.map((p) => row(p, facts)),
      ),
      ...(ok ? [`${count(facts.processes.length, 'process', 'es')}: all agree`] : []),
      ...findings.map(findingLine),
    ].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** Undefined where no credential-store says: that the processes are asked first shows why. */
async function certificatesOf(caller: Caller, { processes }: ClusterFacts): Promise<CertificateFacts | undefined> {
  const members = processes.map(({ member }) => member);
  return gatherCertificatesIfAny(caller.client(credentialStoreContract), caller, members).catch(() => undefined);
}

const COLUMNS = ['NODE', 'SERVICES', 'VERSION', 'STATE', 'HEARD', 'ROUND TRIP', 'CLOCK', 'QUEUE', 'COPIES', 'KEYS'];

/** On a node that is cut off, silence says nothing about the others. */
function stateOf({ member, sees, trouble }: ProcessFacts, { away }: ClusterFacts): string {
  if (away !== undefined && sees === undefined && !member.stopped) return 'unknown';
  if (trouble !== undefined && member.state !== 'gone') return 'silent';
  if (member.failed !== undefined) return 'failed';
  return member.stopped ? 'stopped' : member.state;
}

function row(facts: ProcessFacts, cluster: ClusterFacts): string[] {
  const { member, roundTrip, queue, keys } = facts;
  // Of a process that does not answer, as it was last heard.
  const { clock = member.clock } = facts;
  return [
    member.node,
    servicesText(member.services),
    member.version,
    stateOf(facts, cluster),
    facts.sees === undefined ? `${formatDuration(member.heard)} ago` : 'now',
    roundTrip === undefined ? '-' : `${roundTrip.toFixed(1)} ms`,
    `${clock > 0 ? '+' : ''}${clock} ms`,
    queue === undefined ? '-' : `${queue.messages}${queue.refusing === undefined ? '' : ', refuses'}`,
    queue?.copies === undefined ? '-' : `${queue.copies.elsewhere} out, ${queue.copies.held} in`,
    keysText(keys, cluster),
  ];
}

/** Whether it holds what the others hold. */
function keysText(keys: ProcessFacts['keys'], { processes }: ClusterFacts): string {
  if (keys === undefined) return '-';
  const newest = Math.max(...processes.map((p) => p.keys?.revision ?? 0));
  return keys.behind === undefined && keys.revision === newest ? 'current' : 'behind';
}

function servicesText(services: readonly string[]): string {
  if (!MAIL_SERVICES.every((service) => services.includes(service))) return services.join(', ');
  return services.includes('console') ? 'all, console' : 'all';
}

function forPrograms(facts: ProcessFacts, cluster: ClusterFacts): object {
  const { member, sees, ...rest } = facts;
  const { stopped: _, ...about } = member;
  return { ...about, state: stateOf(facts, cluster), answers: sees !== undefined, ...rest };
}

const count = (n: number, thing: string, plural: string): string => `${n} ${thing}${n === 1 ? '' : plural}`;
