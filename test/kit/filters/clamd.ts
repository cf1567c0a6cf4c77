import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The file that every scanner takes for a virus and that is none (eicar.org). In two parts, so that none takes this one. */
export const EICAR = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-', 'ANTIVIRUS-TEST-FILE!$H+H*'].join('');

/** clamd with one signature, that of EICAR, on a Unix socket. */
export class Clamd implements AsyncDisposable {
  readonly url: string;
  readonly #dir: TempDir;
  #program: Program;

  private constructor(dir: TempDir, program: Program) {
    this.url = `unix:${dir.path}/socket`;
    this.#dir = dir;
    this.#program = program;
  }

  /** `limit`: the largest stream that it takes. */
  static async start(limit = '100M'): Promise<Clamd> {
    const dir = await tempDir('clamd');
    const signature = `Eicar-Test-Signature:0:*:${Buffer.from(EICAR).toString('hex')}\n`;
    await writeFile(join(dir.path, 'test.ndb'), signature);
    const lines = [
      'Foreground yes',
      'LogVerbose yes',
      `LocalSocket ${dir.path}/socket`,
      `DatabaseDirectory ${dir.path}`,
    ];
    const limits = [
      `StreamMaxLength ${limit}`,
      'MaxThreads 2',
      'ConcurrentDatabaseReload no',
      `TemporaryDirectory ${dir.path}`,
    ];
    await writeFile(join(dir.path, 'clamd.conf'), `${[...lines, ...limits].join('\n')}\n`);
    return new Clamd(dir, await launch(dir));
  }

  /** Nothing listens from now on. */
  async stop(): Promise<void> {
    await this.#program.kill();
  }

  /** It listens again, where it was. */
  async restart(): Promise<void> {
    this.#program = await launch(this.#dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function launch(dir: TempDir): Promise<Program> {
  const program = new Program('clamd', ['-c', join(dir.path, 'clamd.conf')]);
  await waitFor(() => /Self checking|Listening daemon|LOCAL: Setting/.test(program.output), {
    what: 'clamd',
    timeout: 20_000,
  });
  return program;
}
