import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { locate } from '#test/kit/runner/peers.ts';
import { waitFor } from './wait.ts';

/** Programs that still run. Whatever ends this process ends them too. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

export type ProgramOptions = {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** Words in front of the command, which become it (as `env` or `ip netns exec` do), so that signals reach it. */
  within?: readonly string[];
};

/** A program under test: started, watched through what it prints, ended one way or the other. */
export class Program implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #output = '';
  #stdout = '';
  #failure: Error | undefined;

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = [command.split('/').at(-1), ...args.slice(0, 2)].join(' ');
    const [first = command, ...rest] = [...(options.within ?? []), locate(command) ?? command, ...args];
    this.#child = spawn(locate(first) ?? first, rest, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    this.#child.stdout?.on('data', (text: string) => {
      this.#stdout += text;
    });
    this.#child.on('error', (error) => {
      this.#failure = error;
    });
    this.#ended = once(this.#child, 'close').then(
      () => running.delete(this.#child),
      () => running.delete(this.#child),
    );
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start`, { cause: this.#failure });
    return this.#child.pid;
  }

  /** Everything printed so far, standard output and standard error as they came. */
  get output(): string {
    return this.#output;
  }

  /** What it printed so far on standard output alone. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Exit code, or the signal's name; undefined while it runs. */
  get exit(): number | string | undefined {
    return this.#child.exitCode ?? this.#child.signalCode ?? undefined;
  }

  /** The first match of a pattern in the output, from `from` on; fails immediately when the program ends without it. */
  async waitForOutput(pattern: RegExp, timeout = 15_000, from = 0): Promise<RegExpExecArray> {
    const match = await waitFor(() => pattern.exec(this.#output.slice(from)) ?? (this.#over() ? 'over' : undefined), {
      timeout,
      what: `${pattern} in the output of ${this.name}`,
    }).catch((cause: unknown) => {
      throw new Error(`${this.name} printed no ${pattern}:\n${this.#output.slice(-4000)}`, { cause });
    });
    if (match === 'over') {
      throw new Error(`${this.name} ended (${this.exit}) without ${pattern}:\n${this.#output.slice(-4000)}`, {
        cause: this.#failure,
      });
    }
    return match;
  }

  /** Resolves to the exit code (or signal) when it has ended. */
  async ended(): Promise<number | string> {
    await this.#ended;
    return this.exit ?? String(this.#failure);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Freeze it: its connections stay open and nothing is answered. Resolves when every thread stands still. */
  async pause(): Promise<void> {
    this.#child.kill('SIGSTOP');
    await waitFor(async () => (await threadStates(this.pid)).every((state) => state === 'T'), {
      what: `${this.name} to stand still`,
    });
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** Ask it to end, and after `grace` milliseconds make it. */
  async stop(grace = 10_000): Promise<number | string> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), grace);
    try {
      return await this.ended();
    } finally {
      clearTimeout(timer);
    }
  }

  /** kill -9: nothing is flushed, nothing is said. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over()) return;
    // A stopped (SIGSTOP) program would never see SIGTERM.
    this.resume();
    await this.stop();
  }

  #over(): boolean {
    return this.exit !== undefined || this.#failure !== undefined;
  }
}

/** The state letter of each thread (proc(5)): the signal that stops a process reaches its threads one by one. */
async function threadStates(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/task`;
  const stats = (await readdir(folder)).map((thread) => readFile(`${folder}/${thread}/stat`, 'latin1'));
  return (await Promise.all(stats)).map((stat) => stat.slice(stat.lastIndexOf(')') + 2).charAt(0));
}
