import { localDomains } from '#cluster/config/rules/servers/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { tlsaName } from '#shared/dns/tlsa.ts';
import { fetchPolicyFile, type StsFailure, StsTrouble, type WebServers } from '#shared/mta-sts/fetch.ts';
import { stsHost } from '#shared/mta-sts/own-policy.ts';
import type { PolicyFile } from '#shared/mta-sts/policy-file.ts';
import { askEach } from '../../keys/key-list.ts';
import { ownRecords, policyDomains } from '../own-records.ts';
import type { Shown, ShownNode } from '../shown.ts';

/** What others find in DNS and on the web about our TLS, beside what the nodes show. */

export type PublishedFacts = {
  shown: Shown;
  hosts: PublishedHost[];
  domains: PublishedDomain[];
};

/** `keys`: those that the host shows, SHA-256 in hex. */
export type PublishedHost = { host: string; keys: readonly string[]; tlsa: DnsAnswer<'TLSA'> };

export type ServedPolicy = NonNullable<ShownNode['policy']>;

export type PublishedDomain = {
  domain: string;
  /** The policies that nodes serve, one each. */
  served: { node: string; policy: ServedPolicy }[];
  /** TXT records at `_mta-sts`. */
  record: DnsAnswer<'TXT'>;
  /** Where there is a record or a policy. */
  file?: PublishedFile;
  /** Where nodes serve a policy. */
  mx?: DnsAnswer<'MX'>;
  /** Where reports should go, and the TXT records at `_smtp._tls`. */
  reports?: { rua: readonly string[]; record: DnsAnswer<'TXT'> };
};

/** The policy file as senders find it. */
export type PublishedFile =
  | { kind: 'policy'; policy: PolicyFile }
  | { kind: 'no-address' }
  | { kind: 'dns-trouble'; error: string }
  | { kind: 'failed'; type: StsFailure; reason: string };

export type PublishedDeps = {
  dns: Pick<DnsResolver, 'lookup'>;
  /** Where policies are fetched, where that is not the public Internet. */
  webServers?: WebServers;
};

/** A web server that needs longer would lose senders, too. */
const FETCH_MS = 15_000;

/** `shown`: what the nodes say, or one by its configuration (configured.ts). */
export async function gatherPublished(
  shown: Shown,
  config: Pick<Config, 'domains' | 'tls-rpt'>,
  deps: PublishedDeps,
): Promise<PublishedFacts> {
  const { rua } = config['tls-rpt'];
  const local = localDomains(config);
  const { records } = ownRecords(shown, { domains: [], rua: [] });
  const tlsa = records.flatMap((record) => (record.kind === 'tlsa' ? [record] : []));
  const [hosts, domains] = await Promise.all([
    askEach(tlsa, async ({ host, used }) => ({
      ...{ host, keys: used },
      tlsa: await deps.dns.lookup(tlsaName(host), 'TLSA'),
    })),
    askEach([...new Set([...local, ...policyDomains(shown)])], (domain) =>
      gatherDomain(domain, { shown, rua: local.includes(domain) ? rua : [] }, deps),
    ),
  ]);
  return { shown, hosts, domains };
}

async function gatherDomain(
  domain: string,
  { shown, rua }: { shown: Shown; rua: readonly string[] },
  deps: PublishedDeps,
): Promise<PublishedDomain> {
  const served = shown.nodes.flatMap(({ node, policy }) =>
    policy?.domains.includes(domain) ? [{ node, policy }] : [],
  );
  const record = await deps.dns.lookup(`_mta-sts.${domain}`, 'TXT');
  const isThere =
    served.length > 0 || (record.kind === 'found' && record.records.some((text) => /^v=STSv1/.test(text)));
  return {
    ...{ domain, served, record },
    ...(isThere && { file: await fetchFile(domain, deps) }),
    ...(served.length > 0 && { mx: await deps.dns.lookup(domain, 'MX') }),
    ...(rua.length > 0 && { reports: { rua, record: await deps.dns.lookup(`_smtp._tls.${domain}`, 'TXT') } }),
  };
}

async function fetchFile(domain: string, { dns, webServers }: PublishedDeps): Promise<PublishedFile> {
  const host = stsHost(domain);
  const answers = await Promise.all([dns.lookup(host, 'AAAA'), dns.lookup(host, 'A')]);
  const found = answers.flatMap((answer) => (answer.kind === 'found' ? answer.records : []));
  if (found.length === 0) {
    const trouble = answers.find((answer) => answer.kind === 'trouble');
    return trouble === undefined ? { kind: 'no-address' } : { kind: 'dns-trouble', error: trouble.error };
  }
  const signal = AbortSignal.timeout(FETCH_MS);
  try {
    const policy = await fetchPolicyFile(domain, {
      ...{ timeoutMs: FETCH_MS, signal, addresses: async () => found },
      ...webServers,
    });
    return { kind: 'policy', policy };
  } catch (error) {
    if (!(error instanceof StsTrouble)) throw error;
    return { kind: 'failed', type: error.type, reason: error.message };
  }
}
