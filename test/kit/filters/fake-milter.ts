import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** A command as it came: its letter and its data, NULs shown as `|`. */
export type MilterCommand = { code: string; data: string };
/** What a fake milter does at a command: sends these packets, as letter and data, or bytes as they are. */
export type MilterAct = (command: MilterCommand, socket: Socket) => string[] | Buffer | undefined;

/**
 * A milter that does what a test wants, right or wrong. Without instructions it agrees to everything, continues at every
 * command, and asks for nothing.
 */
export class FakeMilter implements AsyncDisposable {
  readonly commands: MilterCommand[] = [];
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(act: MilterAct, options: { actions: number; steps: number }) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      let held = Buffer.alloc(0);
      socket.on('data', (piece: Buffer) => {
        held = Buffer.concat([held, piece]);
        while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
          const end = 4 + held.readUInt32BE(0);
          const command = {
            code: held.toString('latin1', 4, 5),
            data: held.toString('latin1', 5, end).replaceAll('\0', '|'),
          };
          held = held.subarray(end);
          this.commands.push(command);
          this.#answer(socket, command, act, options);
        }
      });
    });
  }

  static async start(
    act: MilterAct = () => undefined,
    { port = 0, ...options }: { actions?: number; steps?: number; port?: number } = {},
  ): Promise<FakeMilter> {
    const milter = new FakeMilter(act, { actions: 0, steps: 0, ...options });
    milter.#server.listen(port, '127.0.0.1');
    await once(milter.#server, 'listening');
    return milter;
  }

  get url(): string {
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The letters of the commands that came, without macros. */
  get letters(): string {
    return this.commands.map(({ code }) => (code === 'D' ? '' : code)).join('');
  }

  /** What came with a command, each time. */
  data(code: string): string[] {
    return this.commands.filter((command) => command.code === code).map(({ data }) => data);
  }

  #answer(
    socket: Socket,
    command: MilterCommand,
    act: MilterAct,
    { actions, steps }: { actions: number; steps: number },
  ): void {
    const made = act(command, socket);
    if (Array.isArray(made)) socket.write(Buffer.concat(made.map(milterPacket)));
    else if (made !== undefined) socket.write(made);
    else if (command.code === 'O') socket.write(milterAgreement(actions, steps));
    else if ('CHMRTLNBE'.includes(command.code) && (steps & (SILENT[command.code] ?? 0)) === 0) {
      socket.write(milterPacket('c'));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Bits of mfdef.h by which a milter says that it does not answer a command. */
const SILENT: Record<string, number> = {
  C: 0x1000,
  H: 0x2000,
  M: 0x4000,
  R: 0x8000,
  T: 0x10000,
  N: 0x40000,
  B: 0x80000,
  L: 0x80,
};

export function milterPacket(text: string): Buffer {
  const data = Buffer.from(text, 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}

export function milterAgreement(actions: number, steps: number, version = 6): Buffer {
  const data = Buffer.alloc(12);
  for (const [n, value] of [version, actions, steps].entries()) data.writeUInt32BE(value, 4 * n);
  return milterPacket(`O${data.toString('latin1')}`);
}
