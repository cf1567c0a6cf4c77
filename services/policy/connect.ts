import type { ReverseDns } from '#services/policy/reverse-dns.ts';
import type { RelayRules } from '#services/policy/rules.ts';

type Request = { address: string };
type Accepted = { action: 'accept'; name: string | null; scope: 'internal' | 'external'; why: string[] };

/** Who connects: its confirmed name, and whether it is one of ours (DOMINO R4, R6). Waits only for a new client's name. */
export function connect(request: Request, dns: ReverseDns, rules: () => RelayRules): Accepted | Promise<Accepted> {
  const name = dns.lookup(request.address);
  return name instanceof Promise ? name.then((n) => classify(request, n, rules())) : classify(request, name, rules());
}

function classify({ address }: Request, name: string | null, rules: RelayRules): Accepted {
  const why = [name === null ? `${address} has no confirmed name` : `${address} is ${name}`];
  const entry = rules.trustedHost({ client: { address, name } });
  why.push(
    entry === undefined
      ? 'no trusted host of relay.allow.hosts: external'
      : `in relay.allow.hosts (${entry}): internal`,
  );
  return { action: 'accept', name, scope: entry === undefined ? 'external' : 'internal', why };
}
