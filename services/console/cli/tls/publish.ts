import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { certificatesIn, isFault } from '#cluster/config/pem.ts';
import { localDomains } from '#cluster/config/rules/servers/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { keyDigest } from '#shared/certificate.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { SealpostError } from '#shared/errors.ts';
import type { TlsDnsRecord, WithdrawnTlsDnsRecord } from '#shared/tls/dns-record.ts';
import { describeError } from '../../reports/describe-error.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { namesOf } from '../../reports/tls/checks-names.ts';
import { exchangerProblems } from '../../reports/tls/exchangers.ts';
import { answeredNodes, type NextCertificate, ownRecords, policyDomains } from '../../reports/tls/own-records.ts';
import { gatherShown, type Shown } from '../../reports/tls/shown.ts';
import { withdrawnNames } from '../../reports/tls/withdrawn.ts';
import { type CommonOptions, print, readConfig, withCommon, withStore } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { type Outcome, outcomeText, withdrawnText } from './outcomes.ts';

/**
 * `sealpost tls publish`: TLSA, MTA-STS and TLS-RPT records of our own. What they say comes from the listeners that run; the
 * credential-store writes them, where `dns.zones` has the zone, and looks whether every name server returns them. What was
 * published by it, and is not made any more, is withdrawn in the same way.
 */

type PublishOptions = CommonOptions & { dryRun?: boolean; replace?: boolean; next?: string };

export function registerPublish(tls: Command): void {
  withCommon(
    tls
      .command('publish')
      .description(
        'make the records that tell other servers of our TLS (TLSA, MTA-STS, TLS-RPT), write them where dns.zones has the zone, and show the others for publication by hand; remove what it wrote and is not needed any more',
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
  const { outcomes, withdrawn, problems } = await withStore(options, async (store, caller) => {
    const shown = await gatherShown(caller, await caller.meet());
    const wanted = { domains: domainsOf(names, config, shown), rua: config['tls-rpt'].rua, next };
    const own = ownRecords(shown, wanted);
    const { records, problems } = own;
    const outcomes: Outcome[] = [];
    // One after the other: updates of one zone would wait for each other anyway.
    for (const record of records) outcomes.push(await publishOne(store, record, options));
    const withdrawn: Outcome<WithdrawnTlsDnsRecord>[] = [];
    const listed = await outcomeOf('records that are not needed any more', store['tls-record-list']({}));
    if ('error' in listed) withdrawn.push(listed);
    const published = 'error' in listed ? [] : listed.names;
    const obsolete = withdrawnNames(shown, own, { domains: wanted.domains, all: names.length === 0, published });
    for (const name of obsolete) withdrawn.push(await withdrawOne(store, name, answeredNodes(shown), options));
    const strays = await exchangerProblems(shown, wanted.domains, new DnsResolver(config.dns));
    problems.push(...strays.map(({ text, help }) => `${text}: ${help}`));
    return { outcomes, withdrawn, problems };
  });
  const failed = [...outcomes, ...withdrawn].some((one) => 'error' in one || one.state === 'pending');
  const ok = !failed && problems.length === 0;
  print(options, { ok, records: outcomes, withdrawn, problems }, () =>
    [
      ...outcomes.map((one) => outcomeText(one)),
      ...withdrawn.map((one) => withdrawnText(one)),
      ...problems.map((text) => `problem: ${text}`),
    ].join('\n'),
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

function publishOne(
  store: CredentialStore,
  record: TlsDnsRecord,
  { dryRun = false, replace = false }: PublishOptions,
): Promise<Outcome> {
  const about = record.kind === 'tlsa' ? `TLSA of ${record.host}` : `${record.kind} of ${record.domain}`;
  return outcomeOf(about, store['tls-record-publish']({ record, write: !dryRun, replace }));
}

function withdrawOne(
  store: CredentialStore,
  name: string,
  answered: string[],
  { dryRun = false }: PublishOptions,
): Promise<Outcome<WithdrawnTlsDnsRecord>> {
  return outcomeOf(`withdrawal of ${name}`, store['tls-record-withdraw']({ name, write: !dryRun, answered }));
}

async function outcomeOf<S>(record: string, status: Promise<S>): Promise<Outcome<S>> {
  try {
    return await status;
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return { record, error: describeError(error) };
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
