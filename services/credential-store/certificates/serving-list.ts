import { loadTlsNeks } from '#cluster/config/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type CertificateList, proveCertificates, type StoredCertificate } from '#shared/tls/stored-certificate.ts';
import { behindOf } from '../records/behind.ts';
import { type CertificateRecord, certificateOfKey } from '../records/certificate-record.ts';
import { pageOf } from '../records/pages.ts';
import type { CertificateDeps, CertificateOperation } from './deps.ts';

/** What listeners ask for: the certificates of the cluster, or those that changed since a cursor. */

/** Certificates in one page: ten chains of the longest are 640 KB, below the 1 MB that NATS carries. */
const PAGE_SIZE = 10;

export const servingCertificateList: CertificateOperation<'serving-certificate-list'> = async (
  deps,
  { after, since, nonce },
) => {
  const { certificates, map, settings } = deps;
  if (map.state === 'behind') {
    throw new SealpostError('not-caught-up', 'this node has yet to catch up with the others');
  }
  // Read first: what follows is of one moment.
  const neks = await readNeks(deps);
  const changed = since === undefined ? undefined : changedNames(map, since);
  const all = certificates.all().flatMap((record) => served(record) ?? []);
  const wanted = changed === undefined ? all : all.filter(({ name }) => changed.has(name));
  const { page, next } = pageOf(
    wanted.map((certificate) => ({ place: certificate.name, certificate })),
    after,
    PAGE_SIZE,
  );
  const list = {
    node: settings.current.node.name,
    revision: map.revision,
    certificates: page.map(({ certificate }) => certificate),
    cursor: map.cursor,
    ...behindOf(map),
    ...(changed === undefined ? {} : { changed: [...changed] }),
    ...(next === undefined ? {} : { next }),
  } satisfies CertificateList;
  return nonce === undefined || neks.length === 0
    ? list
    : { ...list, macs: proveCertificates(neks, { nonce, since, after }, list) };
};

/** None where they cannot be read: then nothing is proven, and listeners ask another node. */
async function readNeks({ settings, log }: CertificateDeps) {
  try {
    return await loadTlsNeks(settings.current);
  } catch (error) {
    log.debug({ error: errorText(error) }, 'certificates are answered without a proof');
    return [];
  }
}

function served({ name, current }: CertificateRecord): StoredCertificate | undefined {
  return current && { name, chain: current.chain, wrapped: current.wrapped };
}

/** The certificates whose records changed since a cursor was given; undefined when this process did not give it. */
function changedNames(map: CertificateDeps['map'], since: string): Set<string> | undefined {
  const keys = map.changedSince(since);
  return keys && new Set(keys.flatMap((key) => certificateOfKey(key) ?? []));
}
