import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** A peer made of raw sockets: `talk` gets each connection, and what arrives on it by lines. */
export async function rawPeer(talk: (socket: Socket, line: string) => void, greeting = '220 raw\r\n') {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    if (greeting !== '') socket.write(greeting);
    socket.on('data', (bytes) => {
      for (const line of bytes
        .toString('latin1')
        .split('\r\n')
        .filter((text) => text !== ''))
        talk(socket, line);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
