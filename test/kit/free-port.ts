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

/**
 * Consecutive TCP ports of 127.0.0.1 that nobody listens on right now, and none of `taken`. They are below those that the
 * system gives to outgoing connections, so a program that stops gets its own back.
 */
export async function freePorts(size: number, taken: readonly number[] = []): Promise<number[]> {
  for (let tries = 0; tries < 100; tries++) {
    const first = 10_000 + Math.floor(Math.random() * 20_000);
    const ports = Array.from({ length: size }, (_, i) => first + i);
    const free = await Promise.all(ports.map((port) => !taken.includes(port) && isFree(port)));
    if (free.every(Boolean)) return ports;
  }
  throw new Error(`found no ${size} free ports in a row`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
