import { parseIp } from '#shared/address/ip-address.ts';
import { type OwnStsPolicy, stsPolicyId, stsPolicyText } from '#shared/mta-sts/own-policy.ts';
import type { Problem } from '../../problems/problem.ts';
import type { Config } from '../../schema/schema.ts';
import type { Rule } from '../rule.ts';

/** The MTA-STS policy that a configuration makes, and combinations of it that make no sense. */

export type EffectivePolicy = OwnStsPolicy & { domains: readonly string[]; text: string; id: string };

/** The policy of our domains, with its defaults filled in; undefined without a section `mta-sts`. */
export function effectivePolicy(config: Pick<Config, 'mta-sts' | 'node' | 'domains'>): EffectivePolicy | undefined {
  const section = config['mta-sts'];
  if (section === undefined) return undefined;
  const policy = {
    mode: section.mode,
    mx: section.mx.length > 0 ? section.mx : [config.node.hostname],
    maxAgeMs: section['max-age'],
  };
  const text = stsPolicyText(policy);
  const domains = section.domains.length > 0 ? section.domains : localDomains(config);
  return { ...policy, domains, text, id: stsPolicyId(text) };
}

/** The domains whose mail is received here. */
export const localDomains = ({ domains }: Pick<Config, 'domains'>): string[] =>
  domains.filter(({ local }) => local).map(({ name }) => name);

function policyNames(config: Config): Problem[] {
  const section = config['mta-sts'];
  if (section === undefined) return [];
  const problems: Problem[] = [];
  if (section.mx.length === 0 && config.bus.servers.length > 0) {
    const message =
      'every node must serve the same policy: name the mail exchangers of the domains here, those of all nodes';
    problems.push({ path: ['mta-sts', 'mx'], message });
  } else if (section.mx.length === 0 && config.node.hostname === 'localhost') {
    const message = 'a policy needs the name of a mail exchanger: set node.hostname, or name them here';
    problems.push({ path: ['mta-sts', 'mx'], message });
  }
  if (section.domains.length === 0 && localDomains(config).length === 0) {
    const message = 'the policy is for no domain: name some here, or set local: true for those in domains';
    problems.push({ path: ['mta-sts', 'domains'], message });
  }
  return problems;
}

function policyServer({ 'mta-sts': section, tls }: Config): Problem[] {
  if (section === undefined) return [];
  if (section.tls === 'implicit') {
    if (tls !== undefined) return [];
    const message =
      'senders take a policy by HTTPS only: add tls: { certificate: …, key: … }, or set tls: none here where a proxy does that';
    return [{ path: ['mta-sts', 'tls'], message }];
  }
  if (parseIp(section.address)?.range() === 'loopback') return [];
  const message =
    'tls: none is for a proxy on this machine, and anybody on the way from another could change the policy: set address: 127.0.0.1';
  return [{ path: ['mta-sts', 'address'], message }];
}

function enforceNeedsTls({ 'mta-sts': section, listeners }: Config): Problem[] {
  const relays = listeners.filter(({ kind }) => kind === 'relay');
  if (section?.mode !== 'enforce' || relays.length === 0 || relays.some(({ tls }) => tls !== 'none')) return [];
  const message =
    'enforce lets nobody deliver here without TLS, which no relay listener offers: set tls: starttls there';
  return [{ path: ['mta-sts', 'mode'], message }];
}

export const MTA_STS_RULES: readonly Rule[] = [
  { sections: ['mta-sts', 'node', 'bus', 'domains'], check: policyNames },
  { sections: ['mta-sts', 'tls'], check: policyServer },
  { sections: ['mta-sts', 'listeners'], check: enforceNeedsTls },
];
