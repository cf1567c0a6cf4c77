import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Handlers } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';
import type { CredentialStoreContract } from '../contract.ts';
import type { Certificates } from '../records/certificates.ts';
import type { CredentialRecord } from '../records/domain-record.ts';

/** What the operations on certificates work with. */
export type CertificateDeps = {
  settings: Settings;
  log: Logger;
  map: ReplicatedMap<CredentialRecord>;
  certificates: Certificates;
};

/** One operation of the contract, as in operations/deps.ts. */
export type CertificateOperation<Name extends keyof CredentialStoreContract['operations']> = (
  deps: CertificateDeps,
  request: Parameters<Handlers<CredentialStoreContract>[Name]>[0],
) => ReturnType<Handlers<CredentialStoreContract>[Name]>;
