import { type KeyList, proveKeyList } from '#shared/dkim/list-proof.ts';
import { SealpostError } from '#shared/errors.ts';
import { behindOf } from '../records/behind.ts';
import { domainOfKey } from '../records/domain-record.ts';
import { pageOf } from '../records/pages.ts';
import type { Operation, OperationDeps } from './deps.ts';
import { heldKeys } from './key-status.ts';

/** What signers ask for: the keys that they hold, or those of the domains that changed since a cursor. */

/** Keys in one page: 200 RSA-4096 keys are 850 KB, below the 1 MB that NATS carries. */
const PAGE_SIZE = 200;

export const signingKeyList: Operation<'signing-key-list'> = (deps, { after, since, nonce }) => {
  const { records, all, map, settings, seal } = deps;
  if (map.state === 'behind') {
    throw new SealpostError('not-caught-up', 'this node has yet to catch up with the others');
  }
  const changed = since === undefined ? undefined : changedDomains(map, since);
  const wanted = changed === undefined ? all() : all().filter((r) => changed.has(r.domain));
  const { page, next } = pageOf(heldKeys(wanted), after, PAGE_SIZE);
  const list = {
    node: settings.current.node.name,
    revision: records.revision,
    keys: page.map(({ key }) => key),
    cursor: map.cursor,
    ...behindOf(map),
    ...(changed === undefined ? {} : { changed: [...changed] }),
    ...(next === undefined ? {} : { next }),
  } satisfies KeyList;
  return nonce === undefined || seal.neks.length === 0 ? list : { ...list, macs: proveKeyList(seal.neks, nonce, list) };
};

/** The domains whose records changed since a cursor was given; undefined when this process did not give it. */
function changedDomains(map: OperationDeps['map'], since: string): Set<string> | undefined {
  const keys = map.changedSince(since);
  return keys && new Set(keys.flatMap((key) => domainOfKey(key) ?? []));
}
