import type { DnsConfig } from '#cluster/config/schema/schema.ts';
import { nearestZone } from '#cluster/config/zone.ts';
import { withParents } from '#shared/address/domains.ts';
import { ask } from '#shared/dns/exchange.ts';
import { nameOf, type Question, Rcode, type Response, rcodeName, recordsAt, Type } from '#shared/dns/message.ts';
import { encodeName } from '#shared/dns/name.ts';
import { parseServer, resolversOf, type Server, serverText } from '#shared/dns/server.ts';
import { reasonText, SealpostError } from '#shared/errors.ts';

/**
 * Which servers are authoritative for a name: those of the nearest entry in `dns.zones`, otherwise the name servers that
 * DNS names. The zone of a name begins at the nearest NS records at or above it.
 */

/**
 * A server to ask, and its name in texts: `ns2.example.com (192.0.2.2)` or `127.0.0.1:5302`. `host`: the name server of
 * which this is one address.
 */
export type NamedServer = Server & { host: string; text: string };

export type Authority = {
  zone: string;
  servers: NamedServer[];
  /** Name servers of the zone whose addresses cannot be found, and why. */
  unresolved: { server: string; detail: string }[];
  /** From `dns.zones`: no resolver may answer in their place. */
  configured: boolean;
};

/** Addresses that are asked; a zone has at most 13 name servers in practice. */
const MAX_SERVERS = 40;

/**
 * The resolvers of `dns.servers`, or the system's, asked in order: one that did not answer is asked last from then on.
 *
 * Not `DnsResolver`, whose answers are for those who want the records at the end of the aliases and may have them from its
 * memory: here each alias is judged by itself, a name server of an alias's target is not one of the zone, the verdict
 * says which resolver answered what, and a record that was published a moment ago must be seen.
 */
export class ResolverChain {
  #servers: Server[];
  #asked: Server | undefined;
  readonly #timeoutMs: number;

  constructor(config: Pick<DnsConfig, 'servers' | 'timeout'>) {
    this.#servers = resolversOf(config.servers);
    this.#timeoutMs = config.timeout;
  }

  /** The resolver that was asked last. */
  get text(): string {
    return this.#asked === undefined ? 'resolver' : `resolver ${serverText(this.#asked)}`;
  }

  /** An answer, NXDOMAIN included. Fails like `ask`, and with `dns-resolver` when the resolvers answer with another rcode. */
  async ask(question: Question): Promise<Response> {
    let failure = new SealpostError('dns-resolver', 'this machine has no resolver: set dns.servers');
    for (const server of this.#servers) {
      this.#asked = server;
      try {
        const response = await ask(server, question, { timeoutMs: this.#timeoutMs, recursion: true });
        if (response.rcode === Rcode.NOERROR || response.rcode === Rcode.NXDOMAIN) return response;
        failure = new SealpostError('dns-resolver', `answers ${rcodeName(response.rcode)} for ${question.name}`);
      } catch (error) {
        this.#servers = [...this.#servers.filter((s) => s !== server), server];
        const text = `was asked for ${question.name}: ${reasonText(error)}`;
        failure = new SealpostError(error instanceof SealpostError ? error.code : 'dns-resolver', text);
      }
    }
    throw failure;
  }
}

/** `port`: where discovered servers listen. Fails with `dns-resolver` and `dns-name`. */
export async function authorityOf(
  config: DnsConfig,
  resolver: ResolverChain,
  name: string,
  port: number,
): Promise<Authority> {
  const entry = nearestZone(name, config.zones);
  if (entry !== undefined && entry.servers.length > 0) {
    const servers = entry.servers.map((text) => ({ ...parseServer(text), host: text, text }));
    return { zone: entry.name, servers, unresolved: [], configured: true };
  }
  const { zone, names } = await nameServersOf(resolver, name);
  const found = await Promise.all(names.map(async (host) => ({ host, addresses: await addressesOf(resolver, host) })));
  const servers = new Map<string, NamedServer>();
  for (const { host, addresses } of found) {
    if (typeof addresses === 'string') continue;
    for (const address of addresses) {
      if (!servers.has(address)) servers.set(address, { address, port, host, text: `${host} (${address})` });
    }
  }
  return {
    zone,
    servers: [...servers.values()].slice(0, MAX_SERVERS),
    unresolved: found.flatMap(({ host, addresses }) =>
      typeof addresses === 'string' ? [{ server: host, detail: addresses }] : [],
    ),
    configured: false,
  };
}

async function nameServersOf(resolver: ResolverChain, name: string): Promise<{ zone: string; names: string[] }> {
  // What is no name is nobody's.
  encodeName(name);
  for (const zone of withParents(name)) {
    const response = await resolver.ask({ name: zone, type: Type.NS });
    // Only those of exactly this name: for an alias, the answer has those of its target.
    const names = recordsAt(response, zone, Type.NS).map((record) => nameOf(response, record));
    if (names.length > 0) return { zone, names: [...new Set(names)].toSorted() };
  }
  throw new SealpostError('dns-resolver', `knows no name servers of ${name} or of a domain above it`);
}

/** At least one address, or why there is none. */
async function addressesOf(resolver: ResolverChain, host: string): Promise<string[] | string> {
  const [four, six] = await Promise.allSettled([
    resolver.ask({ name: host, type: Type.A }),
    resolver.ask({ name: host, type: Type.AAAA }),
  ]);
  const addresses = [
    ...addressRecords(four, Type.A).map((rdata) => rdata.join('.')),
    ...addressRecords(six, Type.AAAA).map((rdata) => rdata.toString('hex').replace(/(.{4})(?!$)/g, '$1:')),
  ];
  if (addresses.length > 0) return addresses;
  const failed = [four, six].find((answer) => answer.status === 'rejected');
  return `has no address${failed === undefined ? '' : ` that can be found: ${resolver.text} ${reasonText(failed.reason)}`}`;
}

/** Of any owner: the name of a server should not be an alias, and where it is, the answer has the target's addresses. */
function addressRecords(answer: PromiseSettledResult<Response>, type: number): Buffer[] {
  if (answer.status === 'rejected') return [];
  const length = type === Type.A ? 4 : 16;
  return answer.value.answers.filter((r) => r.type === type && r.rdata.length === length).map((r) => r.rdata);
}
