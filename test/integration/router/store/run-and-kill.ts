import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('killed-router.ts', import.meta.url));

/** Run a router with these arguments (killed-router.ts) for some time, then kill it without warning; `heard` gets what it tells. */
export async function runAndKill(
  args: readonly string[],
  ms: number,
  heard: (event: string, id: string) => void,
): Promise<void> {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const started = once(lines, 'line');
  lines.on('line', (line) => {
    const [event = '', id = ''] = line.split(' ');
    heard(event, id);
  });
  const closed = once(lines, 'close');
  await started;
  await delay(ms);
  child.kill('SIGKILL');
  const [, signal] = await exited;
  await closed;
  assert.equal(signal, 'SIGKILL', 'the router ended by itself');
}
