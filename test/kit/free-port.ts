import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { errorCode } from '#shared/errors.ts';

/**
 * Ports below those that Linux gives to outgoing connections and to listeners on port 0, so that none is given away
 * between the check and its use, and a program that stops gets its own back. Files of tests run beside each other, and a
 * port may be without its listener for a while, so each process takes its ports from a slice of its own. It listens on
 * the first port of that slice as long as it lives.
 */
const FIRST = 19_900;
const SLICES = 128;
const SLICE = 100;

let slice: Promise<number> | undefined;
/** The next port in the slice to try. */
let next = 1;

/** A TCP port without a listener right now. For programs that cannot pick one themselves; ours listen on port 0. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const [port = 0] = await consecutive(1, host);
  return port;
}

/** Consecutive TCP ports of 127.0.0.1 without a listener right now, and none of `taken`. */
export function freePorts(size: number, taken: readonly number[] = []): Promise<number[]> {
  return consecutive(size, '127.0.0.1', taken);
}

async function consecutive(size: number, host: string, taken: readonly number[] = []): Promise<number[]> {
  slice ??= takeSlice();
  const first = await slice;
  for (let tried = 0; tried < SLICE; tried++) {
    if (next + size > SLICE) next = 1;
    const ports = Array.from({ length: size }, (_, i) => first + next + i);
    next += size;
    const free = await Promise.all(ports.map((port) => !taken.includes(port) && isFree(host, port)));
    if (free.every(Boolean)) return ports;
  }
  throw new Error(`found no ${size} free ports in a row from ${first} to ${first + SLICE - 1}`);
}

async function takeSlice(): Promise<number> {
  for (let n = 0; n < SLICES; n++) {
    const first = FIRST + ((process.pid + n) % SLICES) * SLICE;
    const guard = await listenOn('127.0.0.1', first);
    guard?.unref();
    if (guard !== undefined) return first;
  }
  throw new Error(`all ${SLICES} slices of ports are in use`);
}

async function isFree(host: string, port: number): Promise<boolean> {
  const server = await listenOn(host, port);
  if (server === undefined) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** Undefined where another listener has the port. */
async function listenOn(host: string, port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
}

/** Whether a connection to the port is taken; rejects where it is refused. */
export async function accepts(port: number): Promise<true> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}
