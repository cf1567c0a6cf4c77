import type { Member } from '#cluster/members/member-contract.ts';
import { describeFront, listenerContract } from '#services/listener/contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';
import type { Exposure, Finding } from './finding.ts';

/** Who may relay because of where the connections come from, or because the relay rules let in everybody. */

/** How long a process may take before it counts as silent; `sealpost cluster status` says which are. */
const PATIENCE = { timeout: 3000 };

/** Ask every listener that is known. */
export async function gatherExposures({ client }: Clients, members: readonly Member[]): Promise<Exposure[]> {
  const listeners = members.filter(({ state, services }) => state !== 'gone' && services.includes('listener'));
  const answers = await askEach(listeners, async ({ node, process }): Promise<Exposure[]> => {
    try {
      const status = await client(listenerContract)['status-show']({}, { ...PATIENCE, node: process });
      const { gateways, front, openRelay } = status;
      return [{ node, gateways, front, openRelay }];
    } catch {
      return [];
    }
  });
  return answers.flat();
}

export function openRelayFindings(exposures: readonly Exposure[]): Finding[] {
  return exposures.flatMap(({ node, openRelay }): Finding[] => {
    if (openRelay === undefined) return [];
    return [
      {
        severity: 'error',
        about: `node ${node}`,
        text: `${openRelay}: this is an open relay, anybody who reaches it may send mail to anywhere`,
        help: 'name the hosts that may relay in relay.allow.hosts, and let users authenticate',
      },
    ];
  });
}

export function frontFindings(exposures: readonly Exposure[]): Finding[] {
  return exposures.flatMap(({ node, front }): Finding[] => {
    if (front === undefined) return [];
    const about = `node ${node}`;
    const what = describeFront(front);
    const way =
      'let it say who they are by the PROXY protocol (listeners[].proxy), or pass connections on without translating addresses';
    const named = front.entries.find((one) => one.named);
    if (named !== undefined) {
      const text = `${what}; ${listOf(named)} names it, so everybody may relay`;
      return [{ severity: 'error', about, text, help: `take it out; ${way}` }];
    }
    const [held] = front.entries;
    const text = held === undefined ? what : `${what}; ${listOf(held)} (${held.entry}) does not mean it`;
    return [{ severity: 'warning', about, text, help: way }];
  });
}

export function gatewayFindings(exposures: readonly Exposure[]): Finding[] {
  return exposures.flatMap(({ node, gateways = [] }) =>
    gateways.map((covered): Finding => {
      const { address, entry, named } = covered;
      const about = `node ${node}`;
      if (named) {
        return {
          severity: 'warning',
          about,
          text: `${listOf(covered)} trusts ${address}, a gateway of its container network: everybody whose connections come in through it may relay, IPv6 clients of a published port among them`,
          help: `take ${entry} out, unless nobody but your own hosts can reach the published ports`,
        };
      }
      return {
        severity: 'warning',
        about,
        text: `${listOf(covered)} has ${entry}, which holds ${address}, a gateway of its container network: that one is not trusted, because clients of the whole Internet may come through it`,
        help: 'name the hosts that may relay, or smaller networks',
      };
    }),
  );
}

function listOf({ list }: { list?: string | undefined }): string {
  return list ?? 'relay.allow.hosts';
}
