import type { Handlers } from '#shared/contract.ts';
import type { CredentialStoreContract } from '../contract.ts';
import type { Office } from './deps.ts';

/** Operations on named encryption keys. */

type NekOperations = Pick<Handlers<CredentialStoreContract>, 'neks' | 'useNek' | 'rotateNek' | 'deleteNek'>;

export function nekOperations(office: () => Office): NekOperations {
  return {
    neks: () => ({ neks: office().neks.statuses() }),
    useNek: ({ name }) => office().neks.use(name),
    rotateNek: ({ name }) => office().neks.rotate(name),
    async deleteNek({ name }) {
      await office().neks.delete(name);
      return {};
    },
  };
}
