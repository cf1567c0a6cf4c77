import type { BlockRecord } from '#shared/directory/records.ts';
import { SealpostError } from '#shared/errors.ts';
import { changeRecord } from '../directory/change.ts';
import { behindOf } from '../records/behind.ts';
import type { Operation, OperationDeps } from './deps.ts';
import { pageOfKind } from './directory-list.ts';

/** Operations on who is blocked. */

export const blockList: Operation<'block-list'> = ({ directory, settings }, { after }) => {
  const { values, next } = pageOfKind(directory, { kind: 'block', after }, ({ kind: _, ...block }) => block);
  const { name: node } = settings.current.node;
  return { node, blocks: values, ...behindOf(directory), ...(next === undefined ? {} : { next }) };
};

/** One who is blocked stays so since then; the reason becomes the new one. */
export const userBlock: Operation<'user-block'> = async (deps, { name, reason = '', since }) => {
  assertAllKnow(deps);
  let changed = false;
  const { node } = await changeRecord(deps, { kind: 'block', name }, (current): BlockRecord => {
    changed = current === undefined || reason !== (current.reason ?? '');
    if (current !== undefined && !changed) return current;
    const why = reason === '' ? {} : { reason };
    return { kind: 'block', name: current?.name ?? name, since: current?.since ?? since ?? Date.now(), ...why };
  });
  return { node, changed };
};

export const userUnblock: Operation<'user-unblock'> = async (deps, { name }) => {
  const { node } = await changeRecord(deps, { kind: 'block', name }, (current) => {
    if (current === undefined) throw new SealpostError('not-found', `user ${name} is not blocked`);
    return undefined;
  });
  return { node };
};

/**
 * Fails with `invalid` while policy of the version before is live: it would let the user in, and defer what is for names that
 * it does not know, as it does with any record that it cannot read.
 */
function assertAllKnow({ presence }: OperationDeps): void {
  const older = presence.policies().flatMap(({ node, blocks }) => (blocks ? [] : [node]));
  if (older.length === 0) return;
  const nodes = [...new Set(older)].join(', ');
  const text = `nobody was blocked: the policy service of ${nodes} is of an earlier version, which would not refuse the user: upgrade it first, or set another password`;
  throw new SealpostError('invalid', text);
}
