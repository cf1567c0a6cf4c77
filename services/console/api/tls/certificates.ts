import { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { CLUSTER_CERTIFICATE_CHECKS, validityOf } from '../../reports/certificates/checks.ts';
import { gatherCertificates, usedAt } from '../../reports/certificates/facts.ts';
import { renewalText } from '../../reports/certificates/text.ts';
import { runChecks, worstFirst } from '../../reports/doctor/finding.ts';
import type { CertificatesReply } from '../../schemas/tls.ts';
import { clusterOf } from '../mail/cluster.ts';
import type { Asked } from '../route.ts';

/** The certificates of the cluster, what is wrong with them, and what listeners show to clients. */
export async function certificates({ clients }: Asked): Promise<CertificatesReply> {
  const members = await clusterOf(clients).meet();
  const facts = await gatherCertificates(clients.client(credentialStoreContract), clients, members);
  const { now, node, behind, served, presented } = facts;
  return {
    node,
    ...(behind !== undefined && { behind }),
    findings: worstFirst(runChecks(CLUSTER_CERTIFICATE_CHECKS, facts)),
    certificates: facts.certificates.map((one) => ({
      ...one,
      state: stateOf(one, now),
      usedAt: usedAt(one, served),
      next: renewalText(one, now),
    })),
    presented,
  };
}

function stateOf(
  { current, renewal, deleted }: CertificateStatus,
  now: number,
): CertificatesReply['certificates'][number]['state'] {
  if (deleted) return 'deleted';
  if (current !== undefined) return validityOf(current, now);
  return renewal?.problem === undefined ? 'missing' : 'failed';
}
