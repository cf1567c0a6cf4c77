import type { Config } from '#cluster/config/schema/schema.ts';
import { clientNetwork } from '#shared/address/ip-address.ts';
import type { ClientName } from '../connect/reverse-dns.ts';
import type { ClientQuestion } from '../contract.ts';
import type { PolicyFacts } from '../facts.ts';
import { namedBy } from '../relay/host-list.ts';
import type { CheckSources } from './check-sources.ts';
import { BEHIND_GATEWAY } from './exemptions.ts';
import { askAhead } from './recipient-checks.ts';
import type { Sources } from './sources.ts';
import { whenKnown } from './when-known.ts';

type Connecting = Pick<ClientQuestion, 'address' | 'kind' | 'gateway' | 'counted'>;
type ConnectDeps = Pick<Sources, 'dns' | 'rules' | 'checks'> & { config: Pick<Config, 'checks'> };

/** Without a promise where the name is known: the greeting waits only for a new client's name. */
export function connectFacts(
  client: Connecting,
  deps: ConnectDeps,
): PolicyFacts['connect'] | Promise<PolicyFacts['connect']> {
  const { address, gateway } = client;
  const { dns, rules, checks, config } = deps;
  askAhead(client, rules, checks);
  const most = config.checks['connections-per-client'];
  return whenKnown(dns.lookup(address), (name) => ({
    ...{ address, gateway, name, rules },
    connections:
      most === undefined ? undefined : (spared(client, name, checks) ?? { open: open(client, checks), most }),
  }));
}

/** Other connections of the client, to this process as its listener says and to the others as they announce. */
function open({ address, counted }: Connecting, { connections }: CheckSources): number {
  return (counted?.others ?? 0) + connections.elsewhere(clientNetwork(address), counted?.instance);
}

function spared({ address, gateway }: Connecting, name: ClientName, { exempt }: CheckSources) {
  const entry = namedBy(exempt, { client: { address, name: name ?? null }, gateway });
  if (entry !== undefined) return { exempt: `client is in checks.exempt (${entry})` };
  return gateway ? BEHIND_GATEWAY : undefined;
}
