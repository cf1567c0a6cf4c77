import { once } from 'node:events';
import { createServer } from 'node:net';
import { errorCode } from '#shared/errors.ts';

/**
 * Ports below those that Linux gives to outgoing connections and to whoever listens on port 0, so that nobody is given
 * one between our look and its use. Test files that run beside each other have neighbouring process ids, and each takes
 * its ports from a slice of its own.
 */
const FIRST = 19_900;
const SLICES = 128;
const SLICE = 100;

let next = 0;

/** A TCP port that nobody listens on right now. For programs that cannot pick one themselves; ours listen on port 0. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tried = 0; tried < SLICE; tried++) {
    const port = FIRST + (process.pid % SLICES) * SLICE + (next++ % SLICE);
    if (await isFree(host, port)) return port;
  }
  throw new Error(`none of ${SLICE} ports is free`);
}

async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE') return false;
    throw error;
  }
  server.close();
  await once(server, 'close');
  return true;
}
