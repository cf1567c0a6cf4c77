import { memberContract } from '#cluster/members/member-contract.ts';
import type { CertificateStatus } from '#services/credential-store/contract.ts';
import { formatDuration } from '#shared/units.ts';
import { CLUSTER_CERTIFICATE_CHECKS } from '../../reports/certificates/checks.ts';
import { type CertificateFacts, gatherCertificates, usedAt } from '../../reports/certificates/facts.ts';
import { runChecks, worstFirst } from '../../reports/doctor/finding.ts';
import { type Caller, type CommonOptions, print, withStore } from '../context.ts';
import { findingLine } from '../findings.ts';
import { clean, table } from '../table.ts';

/** `sealpost certificates list`, `show` and `delete`. */

export async function list(options: CommonOptions): Promise<void> {
  const facts = await withStore(options, async (store, caller) =>
    gatherCertificates(store, caller, await membersOf(caller)),
  );
  const findings = worstFirst(runChecks(CLUSTER_CERTIFICATE_CHECKS, facts));
  const { certificates, served, node, behind } = facts;
  const shown = certificates.map((one) => ({ ...one, usedAt: usedAt(one, served) }));
  print(options, { node, ...(behind !== undefined && { behind }), certificates: shown, served, findings }, () =>
    [
      certificates.length === 0 ? 'no certificates' : certificateTable(facts),
      ...findings.map(findingLine),
      ...(behind === undefined ? [] : [clean(`warning: ${node} may not know the newest: ${behind}`)]),
    ].join('\n'),
  );
}

/** None where nobody lists them: certificates can be looked at all the same. */
async function membersOf(caller: Caller) {
  const { members } = await caller
    .client(memberContract)
    ['member-list']({})
    .catch(() => ({ members: [] }));
  return members;
}

function certificateTable({ certificates, served, now }: CertificateFacts): string {
  return table(
    ['NAME', 'FOR', 'ISSUER', 'VALID UNTIL', 'KEY', 'FROM', 'IN USE AT'],
    certificates.map((one) => {
      const { name, current } = one;
      if (current === undefined) return [name, '-', '-', '-', '-', '-', '-'];
      const { names, issuer, until, key, origin } = current;
      const left = until < now ? 'expired' : formatDuration(until - now);
      return [
        name,
        names.join(' '),
        issuer,
        `${day(until)} (${left})`,
        key,
        origin,
        usedAt(one, served).join(' ') || '-',
      ];
    }),
  );
}

export async function show(name: string, options: CommonOptions): Promise<void> {
  const { status, used } = await withStore(options, async (store, caller) => {
    const [status, { served }] = await Promise.all([
      store['certificate-show']({ name }),
      gatherCertificates(store, caller, await membersOf(caller)),
    ]);
    return { status, used: usedAt(status, served) };
  });
  print(options, { ...status, usedAt: used }, () =>
    [...lines(status, used), '', status.chain ?? ''].join('\n').trimEnd(),
  );
}

function lines({ name, current }: CertificateStatus, used: readonly string[]): string[] {
  if (current === undefined) return [`certificate ${name}: there is none yet`];
  const { names, issuer, from, until, key, fingerprint, origin, since, node, nek } = current;
  return [
    `certificate ${name}`,
    `for          ${names.join(', ')}`,
    `issuer       ${issuer}`,
    `valid        ${new Date(from).toISOString()} until ${new Date(until).toISOString()}`,
    `key          ${key}, wrapped with NEK ${nek}`,
    `fingerprint  ${fingerprint}`,
    `from         ${origin}, on node ${node}, ${new Date(since).toISOString()}`,
    `in use at    ${used.length === 0 ? 'no listener that answers' : used.join(', ')}`,
  ].map(clean);
}

/** `mx: for mx1.example.com, until 2026-12-31, SHA-256 AB:…`. */
export function describeCertificate({ name, current }: CertificateStatus): string {
  if (current === undefined) return name;
  const { names, until, fingerprint } = current;
  return clean(`${name}: for ${names.join(', ')}, until ${day(until)}, SHA-256 ${fingerprint}`);
}

export async function deleteCertificate(name: string, options: CommonOptions & { force?: boolean }): Promise<void> {
  const { force = false } = options;
  await withStore(options, (store) => store['certificate-delete']({ name, force }));
  print(options, { deleted: name }, () => `deleted certificate ${name}`);
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
