import { isExposed } from '../life/life-cycle.ts';
import { domainOfKey } from '../records/domain-record.ts';
import type { Operation } from './deps.ts';
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
