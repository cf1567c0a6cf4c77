import type { Config } from '#cluster/config/schema/schema.ts';
import type { AnyDirectory, AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import { whenKnown } from './when-known.ts';

export type Group = PolicyFacts['recipient']['group'];
type GroupDeps = { ask: AskDirectory; config: Pick<Config, 'directory'> };

/**
 * What is known of the group that an address is that of; undefined where it is of none, `unknown` where the directory cannot
 * be asked for its owner, which is `owner-<group>` in the same domain.
 */
export function groupAt(
  address: string,
  directory: AnyDirectory,
  { ask, config }: GroupDeps,
): Group | 'unknown' | Promise<Group | 'unknown'> {
  const group = directory?.groupAddress(address);
  if (group === undefined) return undefined;
  const mode = config.directory['mail-to-groups'];
  const owner = `owner-${group}`;
  return whenKnown(ask({ addresses: [owner] }), (known: AnyDirectory) => {
    if (known === undefined) return 'unknown';
    const reportTo = known?.resolve(owner)?.addresses[0];
    return { mode, owner: reportTo === undefined ? undefined : { address: owner, reportTo } };
  });
}
