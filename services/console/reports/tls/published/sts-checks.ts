import type { StsFailure } from '#shared/mta-sts/fetch.ts';
import { stsHost } from '#shared/mta-sts/own-policy.ts';
import { type PolicyFile, parsePolicyFile } from '#shared/mta-sts/policy-file.ts';
import { readStsRecord } from '#shared/mta-sts/record.ts';
import { type Finding, listText } from '../../doctor/finding.ts';
import { askingPolicies, exchangerProblem } from '../exchangers.ts';
import type { TlsFacts } from '../facts.ts';
import type { PublishedDomain, PublishedFile } from './facts.ts';

/** MTA-STS of our domains as senders find it (RFC 8461), beside what the nodes serve. */

export const STS_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  'sts-nodes': ({ published }) =>
    (published?.domains ?? []).flatMap(({ domain, served }): Finding[] => {
      if (new Set(served.map(({ policy }) => policy.id)).size < 2) return [];
      const text = `the nodes serve different MTA-STS policies, ${listText(served.map(({ node, policy }) => `${node} (id ${policy.id})`))}`;
      return [{ severity: 'error', about: domain, text, help: 'give each the same section mta-sts' }];
    }),
  'sts-record': ({ published }) => (published?.domains ?? []).flatMap(recordFindings),
  'sts-file': ({ published }) => (published?.domains ?? []).flatMap(fileFindings),
  'sts-mx': ({ published }) =>
    (published?.domains ?? []).flatMap(({ domain, served, mx }): Finding[] => {
      const policies = published === undefined ? [] : askingPolicies(published.shown, domain);
      if (mx === undefined || policies.length === 0) return [];
      const problem = exchangerProblem(domain, policies, mx);
      const isEnforced = served.some(({ policy }) => /^mode: enforce\r?$/m.test(policy.text));
      const severity = isEnforced && mx.kind === 'found' ? 'error' : 'warning';
      return problem === undefined ? [] : [{ severity, about: domain, ...problem }];
    }),
};

function recordFindings({ domain, served, record, file }: PublishedDomain): Finding[] {
  const finding = (text: string, help: string): Finding[] => [
    { severity: 'warning', about: `_mta-sts.${domain}`, text, help },
  ];
  if (record.kind === 'trouble') {
    if (served.length === 0) return [];
    return finding(...unknown(record.error));
  }
  const read = readStsRecord(record.kind === 'found' ? record.records : []);
  const [policy] = served.map((one) => one.policy);
  if (policy === undefined) {
    // The policy may be served by others, for example of the provider who has the domain's web servers.
    if (!('id' in read) || file?.kind === 'policy') return [];
    const text = 'says that there is an MTA-STS policy, and no node serves one';
    return finding(text, 'add the section mta-sts, or "sealpost tls publish", which withdraws the record');
  }
  if ('id' in read) {
    if (served.some((one) => one.policy.id === read.id)) return [];
    const text = `has id ${read.id}, and the policy that is served has ${policy.id}: senders may go by a former one`;
    return finding(text, 'run "sealpost tls publish"');
  }
  if (read.none === undefined) {
    return finding('is not in DNS, so nobody looks for the policy that is served', 'run "sealpost tls publish"');
  }
  return finding(`cannot be used, so nobody looks for the policy that is served: ${read.none}`, 'remove all but ours');
}

function fileFindings({ domain, served, file }: PublishedDomain): Finding[] {
  const [policy] = served.map((one) => one.policy);
  if (file === undefined || policy === undefined) return [];
  const about = stsHost(domain);
  const problem = fileProblem(file, policy.text);
  return problem === undefined ? [] : [{ severity: 'warning', about, text: problem[0], help: problem[1] }];
}

/** `text`: the policy that is served. */
function fileProblem(file: PublishedFile, text: string): [text: string, help: string] | undefined {
  switch (file.kind) {
    case 'no-address':
      return [
        'has no address in DNS, so senders cannot fetch the policy',
        'add an alias (CNAME) of a node, or addresses',
      ];
    case 'dns-trouble':
      return unknown(file.error);
    case 'failed':
      return [`the policy cannot be fetched there: ${file.reason}`, HELP[file.type]];
    case 'policy': {
      const own = parsePolicyFile(text);
      const difference = 'problem' in own ? undefined : differenceOf(file.policy, own);
      if (difference === undefined) return undefined;
      return [
        `has another policy than the nodes: ${difference}`,
        'see which machine answers there, and have it ask a node',
      ];
    }
  }
}

const HELP: Record<StsFailure, string> = {
  'sts-policy-fetch-error':
    'see that port 443 of its addresses leads to a node with the section mta-sts, or to the proxy in front of it, from outside too',
  'sts-policy-invalid': 'see which machine answers there: a node, or a proxy that asks one',
  'sts-webpki-invalid':
    'senders want a certificate of a public authority for this name: add the name to the one in tls, or an entry to tls.names',
};

function differenceOf(found: PolicyFile, own: PolicyFile): string | undefined {
  const mx = ({ mx }: PolicyFile): string => mx.toSorted().join(', ');
  if (found.mode !== own.mode) return `mode is ${found.mode} and not ${own.mode}`;
  if (mx(found) !== mx(own)) return `mx is ${mx(found) || 'empty'} and not ${mx(own) || 'empty'}`;
  return found.maxAge === own.maxAge ? undefined : `max_age is ${found.maxAge} and not ${own.maxAge}`;
}

/** Of a name that no name server tells of. */
export const unknown = (error: string): [text: string, help: string] => [
  `cannot be looked up (${error})`,
  'see that dns.servers answer, and run this again',
];
