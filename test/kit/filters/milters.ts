import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { DkimRecords } from '#test/kit/dkim/verifiers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Milters of others as they run beside Postfix, on a port of 127.0.0.1 or, where `unix` says so, on a Unix socket. */
export class Milter implements AsyncDisposable {
  readonly url: string;
  readonly #dir: TempDir;
  readonly #program: Program;

  private constructor(url: string, dir: TempDir, program: Program) {
    this.url = url;
    this.#dir = dir;
    this.#program = program;
  }

  /** OpenDKIM, signing for example.com with this key. */
  static async signer(privateKey: string): Promise<Milter> {
    return Milter.#start(async (dir, socket) => {
      await writeFile(join(dir, 'key'), privateKey, { mode: 0o600 });
      const lines = ['Mode s', 'Domain example.com', 'Selector s1', `KeyFile ${dir}/key`, 'RequireSafeKeys no'];
      return openDkim(dir, socket, lines);
    }, 'unix');
  }

  /** OpenDKIM, verifying what comes from anywhere, with these records in place of the DNS. */
  static async verifier(records: DkimRecords): Promise<Milter> {
    return Milter.#start(async (dir, socket) => {
      const keys = Object.entries(records).map(([name, value]) => `${name} ${value}\n`);
      await writeFile(join(dir, 'keys'), keys);
      await writeFile(join(dir, 'internal'), '192.0.2.1\n');
      const lines = ['Mode v', `TestDNSData file:${dir}/keys`, `InternalHosts ${dir}/internal`];
      return openDkim(dir, socket, [...lines, 'AlwaysAddARHeader yes', 'AuthservID opendkim.test']);
    });
  }

  /** OpenDMARC, which rejects what has no clear author. */
  static async dmarc(): Promise<Milter> {
    return Milter.#start(async (dir, socket) => {
      const config = join(dir, 'opendmarc.conf');
      const lines = ['Syslog false', `Socket ${socket}`, 'AuthservID opendmarc.test', 'RequiredHeaders true'];
      await writeFile(config, `${[...lines, `PidFile ${dir}/pid`, `IgnoreHosts ${dir}/none`].join('\n')}\n`);
      await writeFile(join(dir, 'none'), '192.0.2.1\n');
      // It asks the system's name server, which need not be there.
      return new Program('opendmarc', ['-f', '-c', config], { env: { RES_OPTIONS: 'timeout:1 attempts:1' } });
    });
  }

  static async #start(
    launch: (dir: string, socket: string) => Promise<Program>,
    kind: 'inet' | 'unix' = 'inet',
  ): Promise<Milter> {
    const dir = await tempDir('milter');
    const port = await freePort();
    const address = kind === 'inet' ? { port, host: '127.0.0.1' } : { path: join(dir.path, 'socket') };
    const program = await launch(dir.path, kind === 'inet' ? `inet:${port}@127.0.0.1` : `local:${dir.path}/socket`);
    const up = async (): Promise<boolean> => {
      if (program.exit !== undefined) return true;
      const socket = connect(address);
      await once(socket, 'connect');
      socket.destroy();
      return true;
    };
    await waitFor(up, { what: `${program.name} to listen`, timeout: 15_000 });
    if (program.exit !== undefined) throw new Error(`${program.name} ended:\n${program.output}`);
    return new Milter(kind === 'inet' ? `tcp://127.0.0.1:${port}` : `unix:${dir.path}/socket`, dir, program);
  }

  /** Nothing listens from now on. */
  async stop(): Promise<void> {
    await this.#program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function openDkim(dir: string, socket: string, lines: string[]): Promise<Program> {
  const config = join(dir, 'opendkim.conf');
  await writeFile(config, `${[...lines, 'Syslog no', `Socket ${socket}`, `PidFile ${dir}/pid`].join('\n')}\n`);
  return new Program('opendkim', ['-f', '-x', config]);
}
