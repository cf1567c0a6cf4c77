import { once } from 'node:events';
import { createServer } from 'node:net';

/** A TCP port that nobody listens on right now. For programs that cannot pick one themselves; ours listen on port 0. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`no TCP address: ${address}`);
  server.close();
  await once(server, 'close');
  return address.port;
}
