import type { Socket } from 'node:net';
import { readProxyHeader } from '../parsers/proxy-header.ts';

/** The header is not there, or not one that can be read. */
export class ProxyHeaderError extends Error {}

/**
 * Read the PROXY header from a socket; what comes behind it stays in the socket. Resolves to the client's address, or
 * undefined for that of the connection itself. Rejects with a `ProxyHeaderError`, or when the socket ends first.
 */
export function proxiedAddress(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    const stop = (): void => {
      socket.off('readable', read);
      socket.off('end', gone);
      socket.off('close', gone);
    };
    const gone = (): void => {
      stop();
      reject(new Error('connection closed before the PROXY header'));
    };
    const read = (): void => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        held = Buffer.concat([held, chunk]);
        const header = readProxyHeader(held);
        if (header === undefined) continue;
        stop();
        if ('problem' in header) {
          reject(new ProxyHeaderError(`PROXY header: ${header.problem}`));
        } else {
          if (held.length > header.length) socket.unshift(held.subarray(header.length));
          resolve(header.address);
        }
        return;
      }
    };
    socket.on('readable', read);
    socket.on('end', gone);
    socket.on('close', gone);
  });
}
