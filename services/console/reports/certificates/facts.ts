import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract, type PresentedCertificate, type ServedCertificate } from '#services/listener/contract.ts';
import type { Calls } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import type { Clients } from '../clients.ts';
import { askEach, type CredentialStore } from '../keys/key-list.ts';

/** What is known of the certificates of the cluster: what the stores have, and what each listener presents. */

export type CertificateFacts = {
  /** ms since 1970 */
  now: number;
  certificates: CertificateStatus[];
  served: Served[];
};

/** The certificates of the cluster in the listeners of a node; `behind`: why they may not be the newest. */
export type Served = { node: string; certificates: ServedCertificate[]; behind?: string };

/** A certificate that listeners show to clients, of the cluster or of a file. */
export type Presented = PresentedCertificate & { nodes: string[] };

/** How long a process may take before it counts as silent; `sealpost cluster status` says which are. */
const PATIENCE = { timeout: 3000 };

export async function gatherCertificates(
  store: CredentialStore,
  clients: Clients,
  members: readonly Member[],
): Promise<CertificateFacts & { presented: Presented[]; node: string; behind?: string }> {
  const [list, listeners] = await Promise.all([listCertificates(store), askListeners(clients, members)]);
  return { now: Date.now(), ...list, served: listeners.flatMap(servedBy), presented: presentedBy(listeners) };
}

type CertificateList = { node: string; behind?: string; certificates: CertificateStatus[] };

async function listCertificates(store: CredentialStore): Promise<CertificateList> {
  const certificates: CertificateStatus[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await store['certificate-list'](after === undefined ? {} : { after });
    certificates.push(...page.certificates);
    after = page.next;
    if (after === undefined) {
      return { node: page.node, ...(page.behind !== undefined && { behind: page.behind }), certificates };
    }
  }
}

/** The same for reports about everything; nothing of a cluster that is still of the version before. */
export async function gatherCertificatesIfAny(
  ...given: Parameters<typeof gatherCertificates>
): Promise<CertificateFacts> {
  try {
    return await gatherCertificates(...given);
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.unavailable && errorCode(error) !== CALL_ERRORS.timeout) throw error;
    return { now: Date.now(), certificates: [], served: [] };
  }
}

type Listener = { node: string; status: Awaited<ReturnType<Calls<'operator', 'listener'>['status-show']>> };

/** Those that answer. */
async function askListeners({ client }: Clients, members: readonly Member[]): Promise<Listener[]> {
  const listeners = members.filter(({ state, services }) => state !== 'gone' && services.includes('listener'));
  const answers = await askEach(listeners, async ({ node, process }): Promise<Listener[]> => {
    try {
      return [{ node, status: await client(listenerContract)['status-show']({}, { ...PATIENCE, node: process }) }];
    } catch {
      return [];
    }
  });
  return answers.flat();
}

function servedBy({ node, status }: Listener): Served[] {
  const { sharedCertificates: certificates, sharedBehind: behind } = status;
  return certificates === undefined ? [] : [{ node, certificates, ...(behind !== undefined && { behind }) }];
}

/** Each once, the first to expire first. */
function presentedBy(listeners: readonly Listener[]): Presented[] {
  const all = listeners.flatMap(({ node, status }) => (status.certificates ?? []).map((one) => ({ node, one })));
  return [...Map.groupBy(all, ({ one }) => JSON.stringify(one)).values()]
    .flatMap((same) => {
      const [first] = same;
      return first ? [{ ...first.one, nodes: [...new Set(same.map(({ node }) => node))].toSorted() }] : [];
    })
    .toSorted((a, b) => a.until - b.until);
}

/** The nodes that present exactly the certificate that the store has. */
export function usedAt({ name, current }: CertificateStatus, served: readonly Served[]): string[] {
  const uses = served.filter(({ certificates }) =>
    certificates.some((one) => one.name === name && one.fingerprint === current?.fingerprint),
  );
  return [...new Set(uses.map(({ node }) => node))].toSorted();
}
