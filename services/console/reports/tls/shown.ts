import type { z } from 'zod';
import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { errorText } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';

/** What other servers see of the TLS of our nodes, as each listener says: where certificates come from is its matter. */

type ListenerStatus = z.output<(typeof listenerContract.operations)['status-show']['reply']>;

/** `names`: host names and patterns that it is for; `key`: SHA-256 of its public key in hex. */
type Certificate = NonNullable<ListenerStatus['certificates']>[number];

export type ShownNode = {
  node: string;
  hostname: string;
  /** Whether it takes mail from other servers under TLS. */
  takesTls: boolean;
  certificates: readonly Certificate[];
  policy?: ListenerStatus['mtaSts'];
};

/** `silent`: nodes with a listener that did not say, or not all, stopped ones too, and why. */
export type Shown = { nodes: ShownNode[]; silent: { node: string; reason: string }[] };

/** How long a process may take before it counts as silent. */
const PATIENCE = { timeout: 5000 };

export async function gatherShown({ client }: Clients, members: readonly Member[]): Promise<Shown> {
  const shown: Shown = { nodes: [], silent: [] };
  await askEach(withListener(members), async ({ node, process, state, stopped }) => {
    try {
      if (state === 'gone') throw new Error(stopped ? 'it is stopped' : 'it is gone');
      const status = await client(listenerContract)['status-show']({}, { ...PATIENCE, node: process });
      const { hostname, certificates, listeners, mtaSts } = status;
      if (hostname === undefined || certificates === undefined) throw new Error('it is of a version that cannot say');
      const takesTls = listeners.some(({ kind, tls }) => kind === 'relay' && tls !== 'none');
      shown.nodes.push({ node, hostname, takesTls, certificates, ...(mtaSts && { policy: mtaSts }) });
      const lack = lackOf(status);
      if (lack !== undefined) throw new Error(`it may present others soon: ${lack}`);
    } catch (error) {
      shown.silent.push({ node, reason: errorText(error) });
    }
  });
  return shown;
}

/** Why a listener has none of the certificates of the cluster: it presents them as soon as it can, in place of those of files. */
function lackOf({ sharedBehind, sharedCertificates = [] }: ListenerStatus): string | undefined {
  if (sharedCertificates.some(({ fingerprint }) => fingerprint !== undefined)) return undefined;
  return sharedBehind ?? sharedCertificates.find(({ problem }) => problem !== undefined)?.problem;
}

/** Of each node what listens now; where nothing does, what did last: it may start again with the certificates that it had. */
function withListener(members: readonly Member[]): Member[] {
  const listening = members.filter(({ services }) => services.includes('listener'));
  return [...Map.groupBy(listening, ({ node }) => node).values()].flatMap((all) => {
    const present = all.filter(({ state }) => state !== 'gone');
    return present.length > 0 ? present : all.toSorted((a, b) => b.epoch - a.epoch).slice(0, 1);
  });
}

/** The certificate that a node shows to clients that ask for a host (SNI). */
export function certificateFor({ certificates }: ShownNode, host: string): Certificate | undefined {
  const those = (fits: (name: string) => boolean) => certificates.find(({ hosts }) => hosts.some(fits));
  return those((name) => name === host) ?? those((name) => isNamed([name], host)) ?? those((name) => name === '*');
}

/** RFC 9525 §6.3: `*` stands for one whole label, the first. */
export function isNamed(names: readonly string[], host: string): boolean {
  return names.some((name) => name === host || (name.startsWith('*.') && name.slice(1) === host.replace(/^[^.]+/, '')));
}
