import type { Handlers } from '#shared/contract.ts';
import type { CredentialStoreContract } from '../contract.ts';
import type { Office } from './deps.ts';

/** Operations on named encryption keys. */

type NekOperations = Pick<Handlers<CredentialStoreContract>, 'nek-list' | 'nek-use' | 'nek-rotate' | 'nek-delete'>;

export function nekOperations(office: () => Office): NekOperations {
  return {
    'nek-list': () => ({ neks: office().neks.statuses() }),
    'nek-use': ({ name }) => office().neks.use(name),
    'nek-rotate': ({ name }) => office().neks.rotate(name),
    async 'nek-delete'({ name }) {
      await office().neks.delete(name);
      return {};
    },
  };
}
