import { effectivePolicy } from '#cluster/config/rules/servers/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { keyDigest } from '#shared/certificate.ts';
import { namesOf } from '../checks-names.ts';
import type { Pair } from '../facts.ts';
import type { Shown, ShownNode } from '../shown.ts';

export type ShownSettings = Pick<Config, 'node' | 'listeners' | 'domains' | 'mta-sts'>;

/** What this node shows by its configuration and files, where it cannot be asked. `pairs`: its certificates. */
export function shownByConfig(config: ShownSettings, pairs: readonly Pair[], shared: boolean): Shown {
  const { name, hostname } = config.node;
  const policy = effectivePolicy(config);
  const certificates = pairs.flatMap(({ role, hosts, chain }) => {
    if (role !== 'server' || chain === undefined) return [];
    const [own] = chain.path;
    const names = namesOf(own).map((one) => one.toLowerCase());
    const until = own.validToDate.getTime();
    return [{ hosts: hosts.length === 0 ? ['*'] : [...hosts], names, key: keyDigest(own.raw), until }];
  });
  const node: ShownNode = {
    ...{ node: name, hostname },
    takesTls: config.listeners.some(({ kind, tls }) => kind === 'relay' && tls !== 'none'),
    // Those of the cluster come before those of files, and only a process that runs has them.
    certificates: shared ? [] : certificates,
    ...(policy && {
      policy: { id: policy.id, text: policy.text, domains: [...policy.domains], port: config['mta-sts']?.port ?? 0 },
    }),
  };
  const reason = 'it does not run, and presents certificates of the cluster';
  return { nodes: [node], silent: shared ? [{ node: name, reason }] : [] };
}
