import type { CredentialStoreContract } from '#services/credential-store/contract.ts';
import type { Office } from '#services/credential-store/operations/office.ts';
import type { Handlers } from '#shared/contract.ts';

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
