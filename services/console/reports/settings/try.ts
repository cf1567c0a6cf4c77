import { randomUUID } from 'node:crypto';
import { comparable } from '#cluster/config/comparison/changes.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { VERSION } from '#cluster/version.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { errorText } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';
import { DOCTOR_CHECKS } from '../doctor/checks.ts';
import { DOMAIN_CHECKS } from '../doctor/checks-domains.ts';
import { type Facts, type Finding, listText, runChecks } from '../doctor/finding.ts';
import { listKeys } from '../keys/key-list.ts';
import { type CheckedText, type ConfigFacts, checkText, factsOf } from './check.ts';

/** What a configuration would change at this node, before it is put there. */

type Alarm = Finding & { change: 'raised' | 'cleared' };
type Tried = Omit<CheckedText, 'valid'> & {
  node: string;
  changes?: NonNullable<CheckedText['valid']>['changes'];
  restart?: string[];
  alarms?: Alarm[];
  unknown?: string;
};

type Asked = { clients: Clients; config: Config; folder: string };

/** Fails as `checkText` does. */
export async function tryConfig(text: string, { clients, config, folder }: Asked): Promise<Tried> {
  const { node } = config;
  const salt = randomUUID();
  const { valid, ...checked } = await checkText({ text, folder, before: comparable(config, salt), salt });
  const tried = { ...checked, node: node.name };
  if (valid === undefined) return tried;
  const { changes, facts } = valid;
  const needsRestart = changes.some(({ effect }) => effect === 'restart');
  try {
    const { members } = await clients.client(memberContract)['member-list']({});
    const own = members.filter((one) => one.node === node.name && one.state !== 'gone');
    const restart = [...new Set(own.flatMap(({ services }) => services))];
    const known = { ...tried, changes, ...(needsRestart && { restart }) };
    return { ...known, alarms: await alarmsOf(clients, members, config, facts) };
  } catch (error) {
    const unknown = `its alarms cannot be found out: ${errorText(error)}`;
    return { ...tried, changes, ...(needsRestart && { restart: [] }), unknown };
  }
}

/** The checks that go by the configuration, beside what was read of the cluster. */
const CHECKS = {
  ...DOMAIN_CHECKS,
  ...Object.fromEntries(Object.entries(DOCTOR_CHECKS).filter(([name]) => ['source-missing', 'nek-old'].includes(name))),
};

async function alarmsOf(
  clients: Clients,
  members: readonly Member[],
  config: Config,
  next: ConfigFacts,
): Promise<Alarm[]> {
  const store = clients.client(credentialStoreContract);
  const [status, { keys: stored }, { neks }] = await Promise.all([
    store['status-show']({}),
    listKeys(store),
    store['nek-list']({}),
  ]);
  const { domains, missingSources, nekAge, digests } = factsOf(config);
  const nothing = { stores: [], keys: [], rotations: [], unsigned: [], damage: [], members: [], exposures: [] };
  const facts: Facts = { now: Date.now(), domains, nekAge, status, stored, neks, ...nothing };
  const [before, after] = [{ missingSources }, next].map((one) => runChecks(CHECKS, { ...facts, ...one }));
  const others = members.filter(
    ({ node, state, version }) => node !== config.node.name && state === 'up' && version === VERSION,
  );
  return [
    ...without(after, before).map((finding): Alarm => ({ change: 'raised', ...finding })),
    ...disagreements(others, digests, next.digests),
    ...without(before, after).map((finding): Alarm => ({ change: 'cleared', ...finding })),
  ];
}

function without(findings: readonly Finding[] = [], others: readonly Finding[] = []): Finding[] {
  const known = new Set(others.map(({ about, text }) => `${about}\n${text}`));
  return findings.filter(({ about, text }) => !known.has(`${about}\n${text}`));
}

/** Sections that must be the same on all nodes, and would not be until the others have it too. */
function disagreements(others: readonly Member[], now: ConfigFacts['digests'], next: ConfigFacts['digests']): Alarm[] {
  return Object.keys(next).flatMap((section): Alarm[] => {
    if (next[section] === now[section]) return [];
    const differ = others.filter(({ config }) => config[section] !== next[section]).map(({ node }) => node);
    const nodes = [...new Set(differ)];
    if (nodes.length === 0) return [];
    const text = `is not the same on ${listText(nodes)} until the change is made there too`;
    const help = `make "${section}" the same on every node`;
    return [{ change: 'raised', severity: 'warning', about: `"${section}" of the configuration`, text, help }];
  });
}
