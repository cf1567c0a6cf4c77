import type { RelayRules } from './relay/relay-rules.ts';
import type { ClientName, ReverseDns } from './reverse-dns.ts';

type Request = { address: string };
type Accepted = {
  action: 'accept';
  name: string | null;
  nameFailed: boolean;
  scope: 'internal' | 'external';
  why: string[];
};

/** Who connects: its confirmed name, and whether it is one of ours (DOMINO R4, R6). Waits only for a new client's name. */
export function connect(request: Request, dns: ReverseDns, rules: () => RelayRules): Accepted | Promise<Accepted> {
  const name = dns.lookup(request.address);
  return name instanceof Promise ? name.then((n) => classify(request, n, rules())) : classify(request, name, rules());
}

function classify({ address }: Request, found: ClientName, rules: RelayRules): Accepted {
  const name = found ?? null;
  const none = found === null ? 'has no confirmed name' : 'has a name or none: DNS did not say';
  const why = [`${address} ${name === null ? none : `is ${name}`}`];
  const entry = rules.trustedHost({ client: { address, name } });
  why.push(
    entry === undefined
      ? 'no trusted host of relay.allow.hosts: external'
      : `in relay.allow.hosts (${entry}): internal`,
  );
  const scope = entry === undefined ? 'external' : 'internal';
  return { action: 'accept', name, nameFailed: found === undefined, scope, why };
}
