import type { Command } from 'commander';
import { commonName, keyText, subjectName } from '#cluster/certificates/describe.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { SealpostError } from '#shared/errors.ts';
import { needsAttention } from '../../reports/doctor/finding.ts';
import { examineTls } from '../../reports/tls/checks.ts';
import { namesOf } from '../../reports/tls/checks-names.ts';
import { gatherTls, type Pair, type TlsFacts } from '../../reports/tls/facts.ts';
import { shownByConfig } from '../../reports/tls/published/configured.ts';
import { gatherPublished, type PublishedFacts } from '../../reports/tls/published/facts.ts';
import { gatherShown, type Shown } from '../../reports/tls/shown.ts';
import { type CommonOptions, openCaller, print, readConfig, withCommon } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { findingLine } from '../findings.ts';
import { register as registerReports } from '../mail/commands/tls-reports.ts';
import { registerLedger } from '../mail/ledger/command.ts';
import { table } from '../table.ts';
import { forget, showMemory } from '../tls/memory.ts';
import { registerProbe } from '../tls/probe.ts';
import { registerPublish } from '../tls/publish.ts';

type CheckOptions = CommonOptions & { at?: string };

export function register(program: Command): void {
  const tls = program
    .command('tls')
    .description('the certificates of this node, TLS at the hosts of others, and what others report of ours');
  withCommon(
    tls
      .command('check')
      .description(
        'read the certificates and keys that the configuration names, compare what DNS and the web have of our TLS (TLSA, MTA-STS, TLS-RPT) with what the nodes show, and say what is wrong and what to do; fails on errors and warnings; needs no running node',
      ),
  )
    .option(
      '--at <time>',
      'as of another time, such as 2027-01-31: what will have expired by then; without a look at DNS',
    )
    .action(check);
  registerProbe(tls);
  registerReports(tls);
  registerPublish(tls);
  registerLedger(tls);
  withCommon(
    tls
      .command('memory')
      .argument('[domain]', 'only this domain or host, and those below it')
      .description('what the routers remember of the TLS of others: what was reached, and MTA-STS policies'),
  ).action(showMemory);
  withCommon(
    tls
      .command('forget')
      .argument('<domain>', 'a domain or a host')
      .description('drop what all routers remember of a domain or a host, its MTA-STS policy too; it is learned again'),
  ).action(forget);
}

async function check(options: CheckOptions): Promise<void> {
  const now = options.at === undefined ? Date.now() : Date.parse(options.at);
  if (Number.isNaN(now)) throw usageError(`"${options.at}" is not a time: write 2027-01-31 or 2027-01-31T12:00:00Z`);
  const config = await readConfig(options, ['node', 'tls', 'bus', 'domains', 'mta-sts', 'tls-rpt', 'dns']);
  const facts = await gatherTls(config, now);
  if (options.at === undefined) facts.published = await lookAtPublished(options, config, facts);
  const findings = examineTls(facts);
  const ok = !needsAttention(findings);
  const certificates = facts.pairs.flatMap(describe);
  print(options, { ok, certificates, findings }, () =>
    [
      ...findings.map(findingLine),
      ...(findings.length === 0 ? ['nothing to do'] : []),
      ...(certificates.length === 0 ? [] : ['', certificateTable(certificates)]),
    ].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** By what the nodes show; without an answer, by the configuration of this one. */
async function lookAtPublished(options: CommonOptions, config: Config, facts: TlsFacts): Promise<PublishedFacts> {
  const shown = await shownByNodes(options).catch((error: unknown) => {
    if (error instanceof SealpostError) return undefined;
    throw error;
  });
  const dns = new DnsResolver(config.dns);
  return gatherPublished(shown ?? shownByConfig(config, facts.pairs, facts.shared === true), config, { dns });
}

async function shownByNodes(options: CommonOptions): Promise<Shown> {
  await using caller = await openCaller(options);
  return await gatherShown(caller, await caller.meet());
}

type Described = ReturnType<typeof describe>[number];

function describe({ certificate: { option, file }, chain }: Pair) {
  if (chain === undefined) return [];
  const [own] = chain.path;
  const { issuer, validFromDate, validToDate, publicKey } = own;
  return [
    {
      option,
      file,
      subject: subjectName(own),
      names: namesOf(own),
      issuer: commonName(issuer),
      from: validFromDate.toISOString(),
      until: validToDate.toISOString(),
      key: keyText(publicKey),
    },
  ];
}

function certificateTable(certificates: readonly Described[]): string {
  return table(
    ['FILE', 'NAMES', 'ISSUER', 'VALID UNTIL', 'KEY'],
    certificates.map(({ file, names, issuer, until, key }) => [
      file,
      names.length === 0 ? '-' : names.join(' '),
      issuer,
      until.slice(0, 10),
      key,
    ]),
  );
}
