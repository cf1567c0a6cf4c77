import { isExposed } from '../life/life-cycle.ts';
import { domainOfKey } from '../records/domain-record.ts';
import type { Operation, OperationDeps } from './deps.ts';
import { listedKeys } from './key-status.ts';

/** How far this node follows the others. */

export const statusShow: Operation<'status-show'> = async (deps) => {
  const { map, directory, records, all, presence, settings, views } = deps;
  const damage = await deps.damage();
  const unreadable = [...map.unreadable, ...directory.unreadable].map((key) => domainOfKey(key) ?? key);
  const exposed = listedKeys(all())
    .filter(({ domain, key }) => isExposed(key, views.last(domain, key)?.verdict))
    .map(({ domain, key }) => `${key.selector} of ${domain}`);
  const refused = [...map.refused, ...directory.refused].map(({ key, writer, reason, at, held }) => ({
    ...{ record: domainOfKey(key) ?? key, reason, at, held },
    ...(writer === undefined ? {} : { writer }),
  }));
  return {
    node: settings.current.node.name,
    state: map.state,
    revision: records.revision,
    keys: all().reduce((sum, { keys }) => sum + keys.length, 0),
    holders: presence.live(),
    policies: presence.policies(),
    ...(map.problem === undefined ? {} : { problem: map.problem }),
    ...(unreadable.length === 0 ? {} : { unreadable }),
    ...(exposed.length === 0 ? {} : { exposed }),
    ...(damage.length === 0 ? {} : { damage }),
    ...(refused.length === 0 ? {} : { refused }),
    sealed: map.sealed,
    directory: {
      state: directory.state,
      ...(directory.problem === undefined ? {} : { problem: directory.problem }),
      revision: directory.revision,
      entries: directory.entries().length,
    },
  };
};

type Followed = Pick<OperationDeps['map'], 'state' | 'problem' | 'canChange' | 'refused'>;

/** Why this node may not know the newest records; empty when it does. */
export function behindOf({ state, problem, canChange, refused }: Followed): { behind?: string } {
  if (!canChange && refused.length > 0) return { behind: 'it has no NEK (credentials.nek) to check what others send' };
  return state === 'local' || state === 'following'
    ? {}
    : { behind: problem ?? 'it has yet to catch up with the others' };
}
