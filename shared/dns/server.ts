import { Resolver } from 'node:dns';
import { isIPv6 } from 'node:net';

/** Name servers as configurations and people write them. */

export type Server = { address: string; port: number };

const DNS_PORT = 53;

/** `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`. */
export function parseServer(text: string): Server {
  const [, bracketed, port] = /^\[(.*)\](?::(\d+))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return { address: bracketed, port: Number(port ?? DNS_PORT) };
  if (isIPv6(text)) return { address: text, port: DNS_PORT };
  const [address = '', four] = text.split(':');
  return { address, port: Number(four ?? DNS_PORT) };
}

/** The resolvers of `dns.servers`; where these are none, those that the system has now and not at the start of the process. */
export function resolversOf(servers: readonly string[]): Server[] {
  return (servers.length > 0 ? servers : new Resolver().getServers()).map(parseServer);
}

/** `192.0.2.53:5353`, `[2001:db8::53]:53`. */
export function serverText({ address, port }: Server): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
