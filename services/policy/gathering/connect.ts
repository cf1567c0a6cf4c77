import type { ClientName } from '../connect/reverse-dns.ts';
import type { PolicyFacts } from '../facts.ts';
import { askAhead } from './recipient-checks.ts';
import type { Sources } from './sources.ts';

type ClientRequest = { address: string; kind: 'relay' | 'submission'; gateway?: boolean | undefined };

/** Without a promise where the name is known: the greeting waits only for a new client's name. */
export function connectFacts(
  client: ClientRequest,
  { dns, rules, checks }: Pick<Sources, 'dns' | 'rules' | 'checks'>,
): PolicyFacts['connect'] | Promise<PolicyFacts['connect']> {
  const { address, gateway } = client;
  askAhead(client, checks);
  const named = (name: ClientName) => ({ address, gateway, name, rules });
  const name = dns.lookup(address);
  return name instanceof Promise ? name.then(named) : named(name);
}
