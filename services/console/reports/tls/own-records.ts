import { parsePolicyFile } from '#shared/mta-sts/policy-file.ts';
import type { TlsDnsRecord } from '#shared/tls/dns-record.ts';
import { certificateFor, isNamed, type Shown, type ShownNode } from './shown.ts';

/** Which records should tell other servers of our TLS. */

/** A certificate that will be used: the names that it is for, SHA-256 of its public key in hex, its file for texts. */
export type NextCertificate = { names: readonly string[]; key: string; file: string };

export type OwnRecords = {
  records: TlsDnsRecord[];
  /** What keeps a record from being made, or makes it doubtful: sentences with what to do. */
  problems: string[];
};

/** `domains`: those that records are made for. `rua`: where reports go. */
export type Wanted = { domains: readonly string[]; rua: readonly string[]; next?: NextCertificate | undefined };

export function ownRecords(shown: Shown, { domains, rua, next }: Wanted): OwnRecords {
  const problems = shown.silent.map(
    ({ node, reason }) =>
      `node ${node} does not say which certificates it uses (${reason}), so no record of ours is removed: start it, or "sealpost cluster forget ${node}" if it is gone for good`,
  );
  const hosts = mailHosts(shown);
  const answered = answeredNodes(shown);
  const tlsa = [...hosts].map(([host, shownBy]): TlsDnsRecord => {
    const upcoming = next !== undefined && isNamed(next.names, host) ? [next.key] : [];
    const used = [...new Set(shownBy.map(({ key }) => key))];
    return { kind: 'tlsa', host, used, next: upcoming, complete: shown.silent.length === 0, answered, shownBy };
  });
  if (hosts.size === 0) {
    problems.push(
      'no node takes mail under TLS with a name that DNS can have, so there are no TLSA records: set node.hostname, and a certificate',
    );
  }
  if (next !== undefined && tlsa.every((record) => record.kind === 'tlsa' && record.next.length === 0)) {
    const names = [...hosts.keys()].join(', ');
    problems.push(
      `the certificate in ${next.file} is for ${next.names.join(', ') || 'no host'}, and our mail hosts are ${names}: name the file of the certificate that one of them will use`,
    );
  }
  const sts = domains.flatMap((domain): TlsDnsRecord[] => policyRecord(shown, domain, problems));
  const reports =
    rua.length === 0 ? [] : domains.map((domain): TlsDnsRecord => ({ kind: 'tls-rpt', domain, rua: [...rua] }));
  return { records: [...tlsa, ...sts, ...reports], problems };
}

type ShownKey = { key: string; node: string };

/**
 * The hosts that take mail from others under TLS, each with the keys that it shows: every node by its own name, and the
 * mail exchangers of our MTA-STS policy that a certificate of ours is for, which may be a name for several nodes.
 */
function mailHosts({ nodes }: Shown): Map<string, ShownKey[]> {
  const hosts = new Map<string, ShownKey[]>();
  const own = new Set(nodes.map(({ hostname }) => hostname));
  const add = (host: string, node: ShownNode): void => {
    const key = certificateFor(node, host)?.key;
    if (key !== undefined && host.includes('.'))
      hosts.set(host, [...(hosts.get(host) ?? []), { key, node: node.node }]);
  };
  const exchangers = new Set(nodes.flatMap(({ policy }) => (policy === undefined ? [] : exchangersIn(policy.text))));
  for (const node of nodes.filter(({ takesTls }) => takesTls)) {
    add(node.hostname, node);
    for (const host of exchangers) {
      if (!own.has(host) && isNamed(certificateFor(node, host)?.names ?? [], host)) add(host, node);
    }
  }
  return hosts;
}

/** The nodes all of whose listeners said what they show. */
export function answeredNodes({ nodes, silent }: Shown): string[] {
  const names = new Set(nodes.map(({ node }) => node));
  for (const { node } of silent) names.delete(node);
  return [...names].sort();
}

const exchangersIn = (policy: string): string[] =>
  [...policy.matchAll(/^mx: ([^*\s]+)\r?$/gm)].map(([, host = '']) => host);

/** The record of the policy that the nodes serve; none where they do not agree, since each would be wrong at the others. */
function policyRecord({ nodes }: Shown, domain: string, problems: string[]): TlsDnsRecord[] {
  const serving = nodes.filter(({ policy }) => policy?.domains.includes(domain));
  const ids = new Set(serving.map(({ policy }) => policy?.id ?? ''));
  const [id] = ids;
  if (id === undefined) return [];
  if (ids.size === 1) return [{ kind: 'mta-sts', domain, id, maxAge: ageOf(serving[0]?.policy?.text ?? '') }];
  const who = serving.map(({ node, policy }) => `${node} (id ${policy?.id})`).join(', ');
  problems.push(
    `the nodes serve different policies for ${domain}, ${who}, so the record of it was not made: give each the same section mta-sts`,
  );
  return [];
}

/** In ms; 0 where the policy asks for nothing. */
function ageOf(text: string): number {
  const policy = parsePolicyFile(text);
  return 'problem' in policy || policy.mode === 'none' ? 0 : policy.maxAge * 1000;
}

/** The domains of the policies that are served. */
export function policyDomains({ nodes }: Shown): string[] {
  return [...new Set(nodes.flatMap(({ policy }) => policy?.domains ?? []))];
}
