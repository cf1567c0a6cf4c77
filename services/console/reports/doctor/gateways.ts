import type { Member } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { CoveredGateway, Finding } from './finding.ts';

/** How long a process may take before it counts as silent; `sealpost cluster status` says which are. */
const PATIENCE = { timeout: 3000 };

/** Ask every listener that is known. */
export async function gatherGateways({ client }: Clients, members: readonly Member[]): Promise<CoveredGateway[]> {
  const listeners = members.filter(({ state, services }) => state !== 'gone' && services.includes('listener'));
  const answers = await askEach(listeners, async ({ node, process }) => {
    const status = client(listenerContract)['status-show']({}, { ...PATIENCE, node: process });
    const { gateways = [] } = await status.catch(() => ({ gateways: [] }));
    return gateways.map((gateway) => ({ node, ...gateway }));
  });
  return answers.flat();
}

export function gatewayFindings(gateways: readonly CoveredGateway[]): Finding[] {
  return gateways.map(({ node, address, entry, named }) =>
    named
      ? {
          severity: 'warning',
          about: `node ${node}`,
          text: `relay.allow.hosts trusts ${address}, a gateway of its container network: everybody whose connections come in through it may relay, IPv6 clients of a published port among them`,
          help: `take ${entry} out, unless nobody but your own hosts can reach the published ports`,
        }
      : {
          severity: 'warning',
          about: `node ${node}`,
          text: `relay.allow.hosts has ${entry}, which holds ${address}, a gateway of its container network: that one is not trusted, because clients of the whole Internet may come through it`,
          help: 'name the hosts that may relay, or smaller networks',
        },
  );
}
