import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { SealpostError } from '#shared/errors.ts';
import { behindOf } from '../records/behind.ts';
import type { Operation } from './deps.ts';

/** The records of a map as a backup keeps them. An answer stays below the 1 MB that NATS carries. */

export const PAGE_BYTES = 400_000;

export const recordList: Operation<'record-list'> = ({ map: keys, directory, settings }, { map, after }) => {
  const asked: Pick<ReplicatedMap<unknown>, 'page' | 'state' | 'problem' | 'canChange' | 'refused' | 'lost'> = map ===
  'keys'
    ? keys
    : directory;
  if (asked.state === 'behind') {
    throw new SealpostError('not-caught-up', 'this node does not know the records of the others yet');
  }
  const { records, next } = asked.page(after, PAGE_BYTES);
  return {
    node: settings.current.node.name,
    records,
    lost: after === undefined ? asked.lost.length : 0,
    ...behindOf(asked),
    ...(next === undefined ? {} : { next }),
  };
};
