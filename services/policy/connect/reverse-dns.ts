import { normalizeDomain } from '#shared/address/address.ts';
import { type IpAddress, neighbourhood, parseIp } from '#shared/address/ip-address.ts';
import { type DnsAnswer, DnsResolver, type ResolverSettings } from '#shared/dns/resolver.ts';
import type { Logger } from '#shared/log.ts';
import { pointerLabels } from '../dns/pointer-labels.ts';

/** The name of a client; null: it has none that leads back to it; undefined: DNS did not answer, or not in time. */
export type ClientName = string | null | undefined;

/** `end`: until when its name is waited for. */
type Client = { address: IpAddress; network: string; end: number };

/** A greeting must not wait for DNS longer than this. */
const MAX_WAIT_MS = 2000;
/** An address may have hundreds of PTR records; only so many are followed. */
const MAX_NAMES = 5;

/**
 * Names of clients by forward-confirmed reverse DNS: a PTR name counts only if it leads back to the address
 * (DOMINO R4), because the owner of the address writes its PTR record.
 */
export class ReverseDns {
  readonly #resolver: DnsResolver;
  readonly #log: Logger;

  constructor(dns: ResolverSettings, log: Logger) {
    this.#resolver = new DnsResolver(limited(dns));
    this.#log = log;
  }

  configure(dns: ResolverSettings): void {
    this.#resolver.configure(limited(dns));
  }

  /** The client's name, without a promise when it is known. Never fails. */
  lookup(clientAddress: string): ClientName | Promise<ClientName> {
    const address = parseIp(clientAddress);
    if (address === undefined) return null;
    if (address.range() === 'loopback') return 'localhost';
    const client = {
      address,
      network: neighbourhood(clientAddress),
      end: performance.now() + this.#resolver.timeoutMs,
    };
    const pointers = this.#resolver.lookup(pointerName(address), 'PTR', { network: client.network });
    return pointers instanceof Promise
      ? pointers.then((answer) => this.#follow(client, answer))
      : this.#follow(client, pointers);
  }

  /** The first name that leads back; without a promise when all of them are known. */
  #follow({ address, network, end }: Client, pointers: DnsAnswer<'PTR'>): ClientName | Promise<ClientName> {
    if (pointers.kind === 'none') return null;
    if (pointers.kind === 'trouble') return this.#unknown(address, pointers.error);
    const names = pointers.records.slice(0, MAX_NAMES).map(normalizeDomain).filter(isHostName);
    const options = { network, waitMs: Math.max(1, end - performance.now()) };
    const type = address.kind() === 'ipv4' ? 'A' : 'AAAA';
    const answers = names.map((name) => this.#resolver.lookup(name, type, options));
    return answers.some((answer) => answer instanceof Promise)
      ? Promise.all(answers).then((known) => this.#confirmed(address, names, known))
      : this.#confirmed(address, names, answers as DnsAnswer[]);
  }

  /** Give up what is under way: its callers get undefined. */
  close(): void {
    this.#resolver.close();
  }

  /** The first name of which an address is the client's. */
  #confirmed(address: IpAddress, names: readonly string[], answers: readonly DnsAnswer[]): ClientName {
    const text = address.toString();
    const leadsBack = (answer: DnsAnswer) => answer.kind === 'found' && answer.records.includes(text);
    const name = names[answers.findIndex(leadsBack)];
    if (name !== undefined) return name;
    const trouble = answers.find((answer) => answer.kind === 'trouble');
    return trouble === undefined ? null : this.#unknown(address, trouble.error);
  }

  #unknown(address: IpAddress, error: string): undefined {
    this.#log.debug({ peer: address.toString(), error }, 'reverse DNS failed; the client goes without a name');
  }
}

function limited({ servers, timeout }: ResolverSettings): ResolverSettings {
  return { servers, timeout: Math.min(timeout, MAX_WAIT_MS) };
}

/** The name that has the PTR records of an address. */
function pointerName(address: IpAddress): string {
  return `${pointerLabels(address)}.${address.kind() === 'ipv4' ? 'in-addr' : 'ip6'}.arpa`;
}

/** Whether a name from DNS may stand in a header, a log line and a comparison. */
function isHostName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name);
}
