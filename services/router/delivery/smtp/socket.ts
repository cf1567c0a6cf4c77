import { connect, type Socket } from 'node:net';
import { errorCode, errorText } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { ConnectionEnded } from './errors.ts';

/** Errors of a connect that are about this machine, not about the peer. */
const LOCAL_CODES = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EACCES', 'EPERM']);

/** How long the peer may take to close after QUIT. */
const QUIT_MS = 5000;

/** Say QUIT and close without waiting for the answer (RFC 5321 §4.1.1.10). */
export function quitSocket(socket: Socket): void {
  socket.removeAllListeners();
  socket.on('error', () => socket.destroy());
  socket.end('QUIT\r\n');
  // Reading on lets the 221 in, so that the peer sees an orderly end and not a reset.
  socket.resume();
  socket.setTimeout(QUIT_MS, () => socket.destroy());
}

/** A TCP connection to a peer within `timeoutMs`. Rejects with `ConnectionEnded`, also when `signal` aborts. */
export async function openSocket(
  target: { address: string; port: number; source?: string | undefined },
  peer: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  // Commands and the message go in separate writes: Nagle's algorithm would hold the second one back.
  const { address: host, port, source } = target;
  const socket = connect({ host, port, noDelay: true, ...(source !== undefined && { localAddress: source }) });
  const abort = (): void => {
    socket.destroy(new Error('delivery stops'));
  };
  // Others refuse, or say that there is no way: silence is what a firewall makes.
  const silence = `no answer within ${timeoutMs / 1000} s (a firewall on the way may drop what goes to port ${port})`;
  const late = setTimeout(() => socket.destroy(new Error(silence)), timeoutMs);
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    });
  } catch (error) {
    const local = signal.aborted || LOCAL_CODES.has(errorCode(error) ?? '');
    const text = isForeign(error)
      ? `cannot connect to ${peer}: this machine does not have the address ${source} that the route sends from (source, source6)`
      : `cannot connect to ${peer}: ${errorText(error)}`;
    throw new ConnectionEnded(local ? 'local' : 'closed', reply(451, '4.4.1', text), { cause: error });
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', abort);
    socket.removeAllListeners();
  }
  return socket;
}

/** Our own address is none of this machine: not the lack of a port, which `connect` says with the same code. */
function isForeign(error: unknown): boolean {
  return (
    errorCode(error) === 'EADDRNOTAVAIL' && error instanceof Error && 'syscall' in error && error.syscall === 'bind'
  );
}
