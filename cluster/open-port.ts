import { once } from 'node:events';
import type { Server } from 'node:net';
import { errorCode, SealpostError } from '#shared/errors.ts';

/** Opens the listening sockets of this service. */

export type Place = { address: string; port: number };

/** Error codes of a machine without IPv6. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL']);

/** `what` begins the error: `listener mx`. Rejects with `listen-failed`. */
export async function openPort(server: Server, what: string, { address, port }: Place): Promise<void> {
  try {
    try {
      await listen(server, address, port);
    } catch (error) {
      if (address !== '::' || !NO_IPV6.has(errorCode(error) ?? '')) throw error;
      await listen(server, '0.0.0.0', port);
    }
  } catch (cause) {
    const message = `${what} cannot listen on ${address} port ${port}${listenAdvice(cause, port)}`;
    throw new SealpostError('listen-failed', message, { cause });
  }
}

/** The port that it has, also where the system picked one. */
export function portOf(server: Server, configured: number): number {
  const address = server.address();
  return address === null || typeof address === 'string' ? configured : address.port;
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  // `ipv6Only: false` makes `::` every address, whatever the system's default is.
  server.listen({ host, port, ipv6Only: false });
  await once(server, 'listening');
}

/** What to do about a port that cannot be opened, as the end of a sentence. */
function listenAdvice(error: unknown, port: number): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return ': another program has it; stop that one, or choose another port';
    case 'EACCES':
      return port < 1024 ? ': ports below 1024 need root or the capability CAP_NET_BIND_SERVICE' : '';
    case 'EADDRNOTAVAIL':
      return ': this machine does not have the address';
    default:
      return '';
  }
}
