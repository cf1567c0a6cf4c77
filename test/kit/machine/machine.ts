import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { CommandResult } from '#test/kit/command.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import type { Host } from '#test/kit/nodes/hosts.ts';
import { Program } from '#test/kit/program.ts';
import { needs, type Peer } from '#test/kit/runner/peers.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What is typed at a question. */
export type Answer = { question: RegExp; answer: string };

/** Options of a test that needs a machine, and these programs. */
export function needsMachine(...peers: Peer[]): { skip: string | false } {
  if (process.getuid?.() !== 0) return { skip: 'needs root, to make namespaces' };
  // unshare, nsenter and setpriv are of util-linux, which every Linux has.
  return needs('ip', ...peers);
}

export type MachineOptions = {
  /** Its network is that of the host, whose name it has; a network and a small world of its own by default. */
  host?: Host;
  /** What lies in /opt/sealpost; this version by default. */
  tree?: string;
};

/**
 * A machine of its own for what a guide says, as Linux namespaces (`prepare.sh`): root of it may write /etc, /var/lib,
 * /var/spool, /run and /usr/local/bin, make users, and listen on any port of its loopback, which is all its network.
 * Sealpost lies in /opt/sealpost, as after a clone. Commands run in one shell after the other, each where the one before left.
 */

export class Machine implements AsyncDisposable {
  readonly #program: Program;
  readonly #pid: number;
  readonly #temp: TempDir;
  #folder = '/root';

  private constructor(program: Program, pid: number, temp: TempDir) {
    this.#program = program;
    this.#pid = pid;
    this.#temp = temp;
  }

  static async start({ host, tree = ROOT }: MachineOptions = {}): Promise<Machine> {
    const temp = await tempDir('machine');
    const script = fileURLToPath(new URL('prepare.sh', import.meta.url));
    const network = host === undefined ? ['--net'] : [];
    const args = ['--mount', ...network, '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
    // Also where this process is killed.
    const within = ['setpriv', '--pdeathsig', 'KILL', ...(host?.within ?? [])];
    const name = host === undefined ? [] : [host.name];
    const inside = ['bash', script, tree, dirname(process.execPath), temp.path, ...name];
    const program = new Program('unshare', [...args, ...inside], { within });
    try {
      await program.waitForOutput(/^ready$/m);
      const children = await readFile(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8');
      return new Machine(program, Number(children.trim()), temp);
    } catch (error) {
      await program.kill();
      await temp[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What stands in front of a command to run it here. */
  get within(): readonly string[] {
    return ['nsenter', '--target', String(this.#pid), '--mount', '--net', '--uts', '--pid'];
  }

  /**
   * Lines of a shell, which ends at the first that fails. With `answers` they run on a terminal, where each answer is typed when
   * its question is there.
   */
  async shell(lines: string, answers: readonly Answer[] = []): Promise<CommandResult> {
    const script = `cd ${this.#folder}\ntrap 'pwd >/run/shell-folder' EXIT\nset -e\n${lines}\n`;
    const env = {
      PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: '/root',
    };
    const [command = '', ...rest] = this.within;
    if (answers.length > 0) await this.write('/run/shell', script);
    const words = answers.length > 0 ? ['script', '-qec', 'bash /run/shell', '/dev/null'] : ['bash', '-c', script];
    const child = spawn(command, [...rest, ...words], { env, stdio: 'pipe' });
    const closed = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject));
    child.stdin.on('error', () => undefined);
    if (answers.length === 0) child.stdin.end();
    else type(child, answers);
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const code = await closed;
    this.#folder = (await this.read('/run/shell-folder')).trim();
    return { code, stdout, stderr };
  }

  /** The same, where only success will do. */
  async must(lines: string): Promise<string> {
    const { code, stdout, stderr } = await this.shell(lines);
    if (code !== 0) throw new Error(`exit code ${code} of:\n${lines}\n${stdout}\n${stderr}`);
    return stdout;
  }

  run(program: string, ...args: string[]): Program {
    return new Program(program, args, { within: this.within });
  }

  /** Lay another version in place of that in /opt/sealpost, which nothing uses. */
  async install(tree: string): Promise<void> {
    await this.must(`(cd / && umount /opt/sealpost && mount --bind ${tree} /opt/sealpost)`);
  }

  /** A file of it, as this process can name it. */
  path(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  async read(path: string): Promise<string> {
    return readFile(this.path(path), 'utf8');
  }

  async write(path: string, content: string): Promise<void> {
    await writeFile(this.path(path), content);
  }

  /** Wait for lines of a shell to succeed; answers what they print. */
  async eventually(lines: string, what: string, timeout = 60_000): Promise<string> {
    let last: CommandResult | undefined;
    const done = async (): Promise<CommandResult | undefined> => {
      last = await this.shell(lines);
      return last.code === 0 ? last : undefined;
    };
    const { stdout } = await waitFor(done, { timeout, what }).catch((cause: unknown) => {
      throw new Error(`${what}: ${last?.stdout}${last?.stderr}`, { cause });
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // With its first process every other one of it ends.
    await this.#program.kill();
    await this.#temp[Symbol.asyncDispose]();
  }
}

function type({ stdin, stdout }: ChildProcessWithoutNullStreams, answers: readonly Answer[]): void {
  const waiting = [...answers];
  let shown = '';
  stdout.on('data', (bytes: Buffer) => {
    shown += bytes.toString();
    const [next] = waiting;
    if (next === undefined || !next.question.test(shown)) return;
    waiting.shift();
    shown = '';
    stdin.write(`${next.answer}\n`);
    if (waiting.length === 0) stdin.end();
  });
}
