import { setTimeout as delay } from 'node:timers/promises';
import { memberContract } from '#cluster/members/member-contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { formatDuration } from '#shared/units.ts';
import { CLUSTER_CERTIFICATE_CHECKS } from '../../reports/certificates/checks.ts';
import { type CertificateFacts, gatherCertificates, usedAt } from '../../reports/certificates/facts.ts';
import { renewalText } from '../../reports/certificates/text.ts';
import { needsAttention, runChecks, worstFirst } from '../../reports/doctor/finding.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { type Caller, type CommonOptions, print, withStore } from '../context.ts';
import { EXIT } from '../exit.ts';
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
  const ok = behind === undefined && !needsAttention(findings);
  print(options, { ok, node, ...(behind !== undefined && { behind }), certificates: shown, served, findings }, () =>
    [
      certificates.length === 0 ? 'no certificates' : certificateTable(facts),
      ...findings.map(findingLine),
      ...(behind === undefined ? [] : [clean(`warning: ${node} may not know the newest: ${behind}`)]),
    ].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
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
    ['NAME', 'FOR', 'ISSUER', 'VALID UNTIL', 'KEY', 'FROM', 'PROOF', 'IN USE AT', 'NEXT'],
    certificates.map((one) => {
      const { name, current } = one;
      const proof = one.renewal?.challenge ?? '-';
      if (current === undefined) return [name, '-', '-', '-', '-', '-', proof, '-', renewalText(one, now)];
      const { names, issuer, until, key, origin } = current;
      const left = until < now ? 'expired' : formatDuration(until - now);
      return [
        name,
        names.join(' '),
        issuer,
        `${day(until)} (${left})`,
        key,
        origin,
        proof,
        usedAt(one, served).join(' ') || '-',
        renewalText(one, now),
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

function lines(status: CertificateStatus, used: readonly string[]): string[] {
  const { name, current, renewal } = status;
  const { problem } = renewal ?? {};
  const next = [
    ...(renewal?.challenge === undefined ? [] : [`proof        ${renewal.challenge}`]),
    ...(renewal === undefined ? [] : [`next         ${renewalText(status, Date.now())}`]),
    ...(renewal?.at === undefined ? [] : [`renewal      ${new Date(renewal.at).toISOString()}`]),
    ...windowLines(renewal?.window),
    ...(problem === undefined ? [] : [`problem      since ${new Date(problem.since).toISOString()}: ${problem.text}`]),
  ].map(clean);
  if (current === undefined) {
    return [`certificate ${name}: ${status.deleted ? 'was deleted' : 'there is none yet'}`, ...next];
  }
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
    ...next,
  ].map(clean);
}

type Renewal = NonNullable<CertificateStatus['renewal']>;

function windowLines(window: Renewal['window']): string[] {
  if (window === undefined) return [];
  const { start, end, explanation } = window;
  const why = explanation === undefined ? '' : `: ${explanation}`;
  return [`suggested    ${new Date(start).toISOString()} until ${new Date(end).toISOString()}${why}`];
}

/** How long `--watch` waits, and how often it looks. */
const WATCH_MS = 300_000;
const LOOK_MS = 1000;

/** `sealpost certificates order`: fails with `acme-failed` where it watches an order that fails. */
export async function order(name: string, options: CommonOptions & { watch?: boolean }): Promise<void> {
  const status = await withStore(options, async (store) => {
    const asked = await store['certificate-order']({ name });
    return options.watch ? await ordered(store, asked) : asked;
  });
  print(options, status, () =>
    options.watch
      ? `issued ${describeCertificate(status)}`
      : `${name} is ordered: "sealpost certificates show ${name}"`,
  );
}

/** Resolves when nobody orders it any more. Fails with `acme-failed` or `timeout`. */
async function ordered(store: CredentialStore, { name }: CertificateStatus): Promise<CertificateStatus> {
  const deadline = performance.now() + WATCH_MS;
  while (performance.now() < deadline) {
    const status = await store['certificate-show']({ name });
    const { ordering, asked, problem } = status.renewal ?? {};
    if (ordering === undefined && asked === undefined) {
      if (problem === undefined) return status;
      throw new SealpostError('acme-failed', problem.text);
    }
    await delay(LOOK_MS);
  }
  throw new SealpostError(
    'timeout',
    `${name} is still being ordered: "sealpost certificates show ${name}" shows what comes of it`,
  );
}

/** `mx: for mx1.example.com, until 2026-12-31, SHA-256 AB:…`. */
export function describeCertificate({ name, current }: CertificateStatus): string {
  if (current === undefined) return name;
  const { names, until, fingerprint } = current;
  return clean(`${name}: for ${names.join(', ')}, until ${day(until)}, SHA-256 ${fingerprint}`);
}

export async function deleteCertificate(name: string, options: CommonOptions & { force?: boolean }): Promise<void> {
  const { force = false } = options;
  const { records = [] } = await withStore(options, (store) => store['certificate-delete']({ name, force }));
  print(options, { deleted: name, records }, () =>
    [
      `deleted certificate ${name}`,
      ...records.map(
        (record) =>
          `the TXT record at ${record} may still be in DNS: it is removed within a minute, or when its name server answers, and ${name} is listed until then`,
      ),
    ].join('\n'),
  );
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
