import type { Server, Socket } from 'node:net';
import { clientNetwork } from '#shared/address/ip-address.ts';

/** Connections that one client (of IPv6, its /64) has open: more are closed, so that nobody takes the room of all others. */
export function limitConnections(server: Server, most: number): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const client = clientNetwork(socket.remoteAddress ?? '');
    const before = open.get(client) ?? 0;
    if (before >= most) {
      socket.destroy();
      return;
    }
    open.set(client, before + 1);
    socket.once('close', () => {
      const left = (open.get(client) ?? 1) - 1;
      if (left === 0) open.delete(client);
      else open.set(client, left);
    });
  });
}
