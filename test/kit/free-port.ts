import { once } from 'node:events';
import { createServer } from 'node:net';
import { errorCode } from '#shared/errors.ts';

/**
 * Ports below those that Linux gives to outgoing connections and to listeners on port 0, so that none is given away
 * between the check and its use. Test files that run beside each other have neighbouring process ids, and each takes
 * its ports from a slice of its own.
 */
const FIRST = 19_900;
const SLICES = 128;
const SLICE = 100;

let next = 0;

/** A TCP port without a listener right now. For programs that cannot pick one themselves; ours listen on port 0. */
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

/**
 * Consecutive TCP ports of 127.0.0.1 without a listener right now, and none of `taken`. They are below those that the
 * system gives to outgoing connections, so a program that stops gets its own back.
 */
export async function freePorts(size: number, taken: readonly number[] = []): Promise<number[]> {
  for (let tries = 0; tries < 100; tries++) {
    const first = 10_000 + Math.floor(Math.random() * 20_000);
    const ports = Array.from({ length: size }, (_, i) => first + i);
    const free = await Promise.all(ports.map((port) => !taken.includes(port) && isFree('127.0.0.1', port)));
    if (free.every(Boolean)) return ports;
  }
  throw new Error(`found no ${size} free ports in a row`);
}
