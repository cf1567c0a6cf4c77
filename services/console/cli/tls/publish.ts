import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { certificatesIn, isFault } from '#cluster/config/pem.ts';
import { localDomains } from '#cluster/config/rules/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { keyDigest } from '#shared/certificate.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { zoneLine } from '#shared/dns/txt.ts';
import { SealpostError } from '#shared/errors.ts';
import type { TlsDnsRecord, TlsDnsRecordStatus } from '#shared/tls/dns-record.ts';
import { formatTime } from '#shared/units.ts';
import { describeError } from '../../reports/describe-error.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { namesOf } from '../../reports/tls/checks-names.ts';
import { exchangerProblems } from '../../reports/tls/exchangers.ts';
import { type NextCertificate, ownRecords, policyDomains } from '../../reports/tls/own-records.ts';
import { gatherShown, type Shown } from '../../reports/tls/shown.ts';
import { type CommonOptions, print, readConfig, withCommon, withStore } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { cleanLines } from '../table.ts';

/**
 * `sealpost tls publish`: TLSA, MTA-STS and TLS-RPT records of our own. What they say comes from the listeners that run; the
 * credential-store writes them, where `dns.zones` has the zone, and looks whether every name server returns them.
 */

type PublishOptions = CommonOptions & { dryRun?: boolean; replace?: boolean; next?: string };

/** A record as it stands now, or why that cannot be told. */
type Outcome = TlsDnsRecordStatus | { record: string; error: string };

export function registerPublish(tls: Command): void {
  withCommon(
    tls
      .command('publish')
      .description(
        'make the records that tell other servers of our TLS (TLSA, MTA-STS, TLS-RPT), write them where dns.zones has the zone, and show the others for publication by hand',
      ),
  )
    .argument('[domain...]', 'records of these domains (default: all whose mail is received here)')
    .option('--dry-run', 'change nothing, and show what is there and what should be')
    .option('--next <file>', 'add the TLSA record of the certificate that will be used next, before it is')
    .option('--replace', 'also in place of records of the same kind that somebody else made')
    .action(publish);
}

async function publish(names: string[], options: PublishOptions): Promise<void> {
  const config = await readConfig(options, ['node', 'bus', 'domains', 'tls-rpt', 'dns']);
  const next = options.next === undefined ? undefined : await readNext(options.next);
  const { outcomes, problems } = await withStore(options, async (store, caller) => {
    const shown = await gatherShown(caller, await caller.meet());
    const wanted = { domains: domainsOf(names, config, shown), rua: config['tls-rpt'].rua, next };
    const { records, problems } = ownRecords(shown, wanted);
    const outcomes: Outcome[] = [];
    // One after the other: updates of one zone would wait for each other anyway.
    for (const record of records) outcomes.push(await publishOne(store, record, options));
    const strays = await exchangerProblems(shown, wanted.domains, new DnsResolver(config.dns));
    problems.push(...strays.map(({ text, help }) => `${text}: ${help}`));
    return { outcomes, problems };
  });
  const failed = outcomes.some((one) => 'error' in one || one.state === 'pending');
  const ok = !failed && problems.length === 0;
  print(options, { ok, records: outcomes, problems }, () =>
    [...outcomes.map((one) => outcomeText(one)), ...problems.map((text) => `problem: ${text}`)].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** The domains that the command is about. Fails where one is not ours. */
function domainsOf(names: readonly string[], config: Pick<Config, 'domains'>, shown: Shown): string[] {
  const ours = [...new Set([...localDomains(config), ...policyDomains(shown)])];
  const wanted = names.map(normalizeDomain);
  const stranger = wanted.find((name) => !ours.includes(name));
  if (stranger === undefined) return wanted.length > 0 ? wanted : ours;
  throw usageError(`${stranger} is not a domain whose mail is received here: set local: true in its entry of domains`);
}

async function publishOne(
  store: CredentialStore,
  record: TlsDnsRecord,
  { dryRun = false, replace = false }: PublishOptions,
): Promise<Outcome> {
  try {
    return await store['tls-record-publish']({ record, write: !dryRun, replace });
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    const about = record.kind === 'tlsa' ? `TLSA of ${record.host}` : `${record.kind} of ${record.domain}`;
    return { record: about, error: describeError(error) };
  }
}

/** The certificate of the server, of those in a file. */
async function readNext(file: string): Promise<NextCertificate> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw usageError(unreadable(file, error));
  });
  const found = certificatesIn(bytes, file);
  if (isFault(found)) throw usageError(`file ${file} ${found.text}: ${found.help}`);
  const own = found.find(({ ca }) => !ca) ?? found[0];
  return { names: namesOf(own).map((name) => name.toLowerCase()), key: keyDigest(own.raw), file };
}

function outcomeText(outcome: Outcome): string {
  if ('error' in outcome) return cleanLines(`${outcome.record}: ${outcome.error}`);
  const { name, type, ttl, values, obsolete, others, usable } = outcome;
  const line = (value: string): string =>
    type === 'TXT' ? zoneLine({ name, ttl, value }) : `${name}. ${ttl} IN TLSA ${value}`;
  const isDue = outcome.state === 'due' || outcome.state === 'pending';
  const lines = [
    `${name} ${type}: ${stateText(outcome)}`,
    ...(isDue ? values.map(({ value }) => `  ${line(value)}`) : []),
    ...(isDue ? obsolete.map((value) => `  remove: ${line(value)}`) : []),
    ...others.map((value) => `  not ours, left as it is: ${line(value)}`),
    ...(usable === undefined ? [] : [`  ${usableText(usable)}`]),
  ];
  return cleanLines(lines.join('\n'));
}

function stateText({ state, by, detail }: TlsDnsRecordStatus): string {
  switch (state) {
    case 'published':
      return 'every name server has it';
    case 'pending':
      return `written, but not every name server has it yet, so run this again: ${detail}`;
    case 'due':
      return by === 'manual' ? `publish this by hand (${detail}):` : `is to be written into its zone (${detail}):`;
    case 'no-effect':
      return `not published: ${detail}`;
  }
}

function usableText(usable: number): string {
  return usable > Date.now()
    ? `wait with the next certificate until ${formatTime(usable)}: until then caches may have the records without it`
    : 'the next certificate may be used now; run this again afterwards, which removes the record of the former one';
}
