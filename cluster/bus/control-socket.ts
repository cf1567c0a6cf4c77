import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Address, Bus, BusReply, BusRequest } from './bus.ts';
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from './frame.ts';

/**
 * The way into a running node that has no NATS, or has lost it: a Unix domain socket in its data folder, for the
 * command line.
 *
 * One call per connection. A block is four bytes of length, big-endian, and that many bytes. The caller sends two blocks,
 * the address (JSON) and the request in the form of `frame.ts`; the node answers with one, the reply, and closes.
 * Only the user that the node runs as may open the socket: it has mode 0600 from the moment it exists.
 */

const CallAddress = z.strictObject({
  service: z.string(),
  version: z.number(),
  operation: z.string(),
  node: z.string().optional(),
});

/** More than any contract carries: a greater length is an error. */
const LARGEST_BLOCK = 16 * 1024 * 1024;
/** How long a connected caller may take to send its request. */
const REQUEST_MS = 10_000;
/** A socket path longer than this does not fit into `sun_path` (104 bytes on BSD and macOS, 108 on Linux). */
const LONGEST_PATH = 103;

/**
 * Where the node on `data` (absolute) listens: in the folder itself, or in the temporary folder where that path is too
 * long.
 */
export function controlPath(data: string): string {
  const path = join(data, 'control.sock');
  if (Buffer.byteLength(path) <= LONGEST_PATH) return path;
  const key = createHash('sha256').update(data).digest('hex').slice(0, 16);
  return join(tmpdir(), `sealpost-${key}`, 'control.sock');
}

export type ControlServer = { path: string; close(): Promise<void> };

/** Open the socket. Fails with `node-running` when another process has it open. */
export async function openControl(data: string, bus: Bus, log: Logger): Promise<ControlServer> {
  const path = controlPath(data);
  if (dirname(path) !== data) await ownFolder(dirname(path));
  await removeStale(path);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)));
    answer(socket, bus).catch((error: unknown) => {
      log.warn({ error: errorText(error) }, 'connection to the control socket failed');
      socket.destroy();
    });
  });
  await bind(server, path);
  return {
    path,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Listen with mode 0600. Node binds inside `listen`, so that the mask holds exactly for that call. */
async function bind(server: Server, path: string): Promise<void> {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new SealpostError('control-failed', `cannot open the control socket ${path}`, { cause: error });
  }
  await chmod(path, 0o600);
}

/** A folder in the temporary folder that is ours alone: another user could have made one of that name before. */
async function ownFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const stat = await lstat(folder);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o077) !== 0) {
    throw new SealpostError('control-failed', `${folder} must be a folder of mode 0700 that belongs to us: remove it`);
  }
}

/** Remove the socket of a node that died; one that answers belongs to a node that lives. */
async function removeStale(path: string): Promise<void> {
  try {
    const socket = createConnection(path);
    await once(socket, 'connect');
    socket.destroy();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    if (errorCode(error) !== 'ECONNREFUSED') {
      throw new SealpostError('control-failed', `cannot open the control socket ${path}`, { cause: error });
    }
    await unlink(path);
    return;
  }
  throw new SealpostError(
    'node-running',
    `another sealpost node runs on ${dirname(path)}: stop it, or give this one its own node.data`,
  );
}

async function answer(socket: Socket, bus: Bus): Promise<void> {
  socket.setTimeout(REQUEST_MS, () => socket.destroy(new Error(`no request within ${REQUEST_MS} ms`)));
  const incoming = blocks(socket);
  const head = await incoming.next();
  const body = await incoming.next();
  // A connection that only checks whether a node runs.
  if (head.done || body.done) return;
  socket.setTimeout(0);
  socket.end(block(encodeReply(await call(bus, head.value, body.value))));
}

async function call(bus: Bus, head: Buffer, body: Buffer): Promise<BusReply> {
  try {
    const { node, ...address } = CallAddress.parse(JSON.parse(head.toString()));
    const request = decodeRequest(body);
    return await bus.call(address, request, node);
  } catch (error) {
    const code = error instanceof SealpostError ? error.code : CALL_ERRORS.malformed;
    return { ok: false, code, message: errorText(error) };
  }
}

function block(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

async function* blocks(socket: Socket): AsyncGenerator<Buffer, void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4) {
      const length = rest.readUInt32BE();
      if (length > LARGEST_BLOCK) throw new SealpostError(CALL_ERRORS.malformed, `a block of ${length} bytes`);
      if (rest.length < 4 + length) break;
      yield rest.subarray(4, 4 + length);
      rest = rest.subarray(4 + length);
    }
  }
}

/** Calls into the node that runs on a data folder. Fails with `no-node` when none does. */
export class ControlClient implements Pick<Bus, 'call'> {
  readonly #path: string;

  constructor(data: string) {
    this.#path = controlPath(data);
  }

  async call(address: Address, request: BusRequest, node?: string): Promise<BusReply> {
    const socket = await this.#connect();
    try {
      socket.setTimeout(request.timeout + 1000, () => {
        const message = `${address.service}.${address.operation} did not answer within ${request.timeout} ms`;
        socket.destroy(new SealpostError(CALL_ERRORS.timeout, message));
      });
      socket.write(block(Buffer.from(JSON.stringify({ ...address, node }))));
      socket.write(block(encodeRequest(request)));
      const reply = await blocks(socket).next();
      if (reply.done) throw new Error('it closed the connection');
      return decodeReply(reply.value);
    } catch (error) {
      if (error instanceof SealpostError) throw error;
      throw new SealpostError(CALL_ERRORS.unavailable, `the node at ${this.#path} did not answer`, { cause: error });
    } finally {
      socket.destroy();
    }
  }

  /** Whether a node listens there. */
  async answers(): Promise<boolean> {
    try {
      (await this.#connect()).destroy();
      return true;
    } catch {
      return false;
    }
  }

  async #connect(): Promise<Socket> {
    const socket = createConnection(this.#path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (errorCode(error) === 'EACCES') {
        throw new SealpostError('no-node', `the node at ${this.#path} belongs to another user: run this as that user`);
      }
      throw new SealpostError(
        'no-node',
        `no node answers at ${this.#path}: start one with "npx sealpost start", or name its configuration with --config`,
        { cause: error },
      );
    }
  }
}
