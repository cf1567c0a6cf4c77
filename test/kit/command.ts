import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** The command as a user starts it. */
export const SEALPOST = fileURLToPath(new URL('../../services/console/cli/sealpost.js', import.meta.url));

export type CommandResult = { code: number | null; stdout: string; stderr: string };

/**
 * Run `sealpost` with these arguments to its end. `input` is what it reads from standard input, `within` what stands in
 * front of the command.
 */
export async function sealpost(
  args: readonly string[],
  options: { cwd: string; input?: string; env?: Record<string, string>; within?: readonly string[] },
): Promise<CommandResult> {
  // No HOME: nothing may depend on it.
  const env = { PATH: process.env['PATH'] ?? '', ...options.env };
  const [command = '', ...before] = [...(options.within ?? []), process.execPath, SEALPOST];
  const child = spawn(command, [...before, ...args], { cwd: options.cwd, env, stdio: 'pipe' });
  const closed = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject));
  child.stdin.end(options.input ?? '');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await closed, stdout, stderr };
}

/** Run it on a terminal of its own, by util-linux's `script`; `typed` is typed immediately. */
export async function onTerminal(
  cwd: string,
  args: readonly string[],
  typed = '',
): Promise<{ code: number | null; output: string }> {
  const line = [process.execPath, SEALPOST, ...args].join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject));
  child.stdin.end(typed);
  const output = await text(child.stdout);
  return { code: await closed, output };
}

/** Run it on a terminal of its own, and press Control-C once the terminal shows this. */
export async function interruptedOnTerminal(
  cwd: string,
  args: readonly string[],
  shown: RegExp,
): Promise<{ code: number | null; output: string }> {
  const line = ['exec', process.execPath, SEALPOST, ...args].join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  let pressed = false;
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes.toString();
    if (pressed || !shown.test(output)) return;
    pressed = true;
    child.stdin.write('\x03');
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('close', resolve).once('error', reject),
  );
  return { code, output };
}
