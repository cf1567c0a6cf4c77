import { type SourceDeps, StoreSource } from '#cluster/follow/source.ts';
import type { Calls } from '#services/topology.ts';
import { judgeCertificates, type StoredCertificate } from '#shared/tls/stored-certificate.ts';

/** Where the certificates of the cluster come from: the credential-stores, as `cluster/follow/source.ts` describes. */
export type CertificateSourceDeps = Pick<SourceDeps<StoredCertificate>, 'node' | 'alone' | 'neks'> & {
  credentials: Pick<Calls<'listener', 'credential-store'>, 'serving-certificate-list'>;
};

export class CertificateSource extends StoreSource<StoredCertificate> {
  constructor({ credentials, ...deps }: CertificateSourceDeps) {
    super({
      ...deps,
      ask: async (request, options) => {
        const { certificates, ...page } = await credentials['serving-certificate-list'](request, options);
        return { ...page, items: certificates };
      },
      groupOf: ({ name }) => name,
      judge: (neks, question, { items, ...page }, macs) =>
        judgeCertificates(neks, question, { ...page, certificates: items }, macs),
      words: { items: 'certificates', holder: 'the listener', neks: 'tls.nek' },
    });
  }
}
