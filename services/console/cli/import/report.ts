import { normalizeKeyName } from '#shared/dkim/key-name.ts';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { type CommonOptions, print, readConfig } from '../context.ts';
import { EXIT } from '../exit.ts';
import { clean, table } from '../table.ts';
import { completeEntries, configEntries, domainsYaml } from './domains-yaml.ts';
import type { ImportOutcome } from './key-import.ts';
import type { ImportPlan, Remark } from './plan.ts';

/** What an import came to: a line for each key, one for each remark, and what belongs into sealpost.yaml. */
export async function reportImport(
  plan: ImportPlan,
  outcomes: readonly ImportOutcome[],
  options: CommonOptions,
): Promise<void> {
  const { domains, problems } = completeEntries(plan.domains);
  const remarks: Remark[] = [
    ...plan.remarks,
    ...problems.map(({ name, text }) => ({ place: name, text, problem: true })),
  ];
  const ok = !outcomes.some((o) => o.result === 'failed') && !remarks.some((r) => r.problem);
  const known = domains.length === 0 ? new Set<string>() : await knownDomains(options);
  const value = { ok, keys: outcomes.map(jsonOutcome), remarks, domains: configEntries(domains) };
  print(options, value, () =>
    [
      outcomes.length === 0 ? 'no keys' : table(['KEY', 'FROM', 'ALGORITHM', 'RESULT'], outcomes.map(row)),
      ...(remarks.length === 0 ? [] : [remarks.map(remarkText).join('\n')]),
      ...(domains.length === 0 ? [] : [`For sealpost.yaml:\n\n${domainsYaml(domains, known)}`]),
      ...closing(outcomes),
    ].join('\n\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** Names of the domains that have an entry in the configuration here. */
export async function knownDomains(options: CommonOptions): Promise<Set<string>> {
  const { domains } = await readConfig(options, ['domains']);
  return new Set(domains.map((d) => d.name));
}

/** A line of a file and what became of it. */
const remarkText = ({ place, text, problem }: Remark): string =>
  clean(`${place}: ${problem ? 'problem: ' : ''}${text}`);

const algorithmOf = (outcome: ImportOutcome): string => {
  if ('key' in outcome) return outcome.key.algorithm;
  return 'algorithm' in outcome ? outcome.algorithm : '-';
};

function row(outcome: ImportOutcome): string[] {
  const { domain, selector } = normalizeKeyName(outcome.wanted);
  return [`${selector} of ${domain}`, outcome.wanted.place, algorithmOf(outcome), resultText(outcome)];
}

/** What became of a key, in one sentence without its full stop. */
function resultText(outcome: ImportOutcome): string {
  switch (outcome.result) {
    case 'imported':
      return outcome.key.activate ? 'imported' : 'imported; "sealpost keys activate" lets it sign';
    case 'there':
      return `in the store already, the same key (${outcome.key.state})`;
    case 'absent':
      return 'would be imported';
    case 'unknown':
      return 'would be imported, if the store has none of this name: no node answers';
    case 'failed':
      return `failed: ${outcome.reason}`;
  }
}

/** What happens to the keys now. */
function closing(outcomes: readonly ImportOutcome[]): string[] {
  const fresh = outcomes.flatMap((o) => (o.result === 'imported' ? [o.key] : []));
  const aliased = fresh.filter((k) => k.publish === 'cname');
  const paragraphs: string[] = [];
  if (fresh.some((k) => k.publish === 'manual' || k.publish === 'update')) {
    paragraphs.push(
      'The records of these keys are in DNS already and stay valid: leave them as they are. Sealpost waits until every name server returns\n' +
        'them to every node, then signs. "sealpost keys list" shows how far it is, "sealpost doctor" what is wrong.',
    );
  }
  if (aliased.length > 0) {
    const lines = aliased.map((k) => `  sealpost keys export-dns ${k.domain} ${k.selector}`);
    const text =
      'The configuration publishes these through CNAMEs: replace each TXT record by the CNAME line, as shown by';
    paragraphs.push([text, ...lines].join('\n'));
  }
  if (fresh.some((k) => k.publish === 'none')) {
    paragraphs.push('Domains that are in no DNS (keys.proof: none) sign as soon as every node has the keys.');
  }
  return paragraphs;
}

function jsonOutcome(outcome: ImportOutcome): object {
  const { wanted, ...rest } = outcome;
  const name = normalizeKeyName(wanted);
  return { ...name, record: dkimRecordName(name), place: wanted.place, ...rest };
}
