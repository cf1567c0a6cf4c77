import { sealingKeyOf } from '#shared/dkim/secret-seal.ts';
import type { Operation } from './deps.ts';

/** Operations on named encryption keys. */

export const nekList: Operation<'nek-list'> = ({ neks }) => ({ neks: neks.statuses() });

export const nekUse: Operation<'nek-use'> = ({ neks }, { name }) => neks.use(name);

export const nekRotate: Operation<'nek-rotate'> = ({ neks }, { name }) => neks.rotate(name);

export const nekDelete: Operation<'nek-delete'> = async ({ neks }, { name }) => {
  await neks.delete(name);
  return {};
};

export const sealingKeyShow: Operation<'sealing-key-show'> = async ({ neks }) => sealingKeyOf(await neks.current());
