import type { ClientName } from '../connect/reverse-dns.ts';
import type { PolicyFacts } from '../facts.ts';
import type { Sources } from './sources.ts';

type ClientRequest = { address: string; gateway?: boolean | undefined };

/** Without a promise where the name is known: the greeting waits only for a new client's name. */
export function connectFacts(
  { address, gateway }: ClientRequest,
  { dns, rules }: Pick<Sources, 'dns' | 'rules'>,
): PolicyFacts['connect'] | Promise<PolicyFacts['connect']> {
  const named = (name: ClientName) => ({ address, gateway, name, rules });
  const name = dns.lookup(address);
  return name instanceof Promise ? name.then(named) : named(name);
}
