import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * `sealpost health <socket>`: asks a process for its health at the socket that `health.ts` serves. A supervisor runs it
 * every few seconds in every container, so it imports nothing else: the rest of the command line costs a second of
 * processor time to load, which `sealpost.js` spares it.
 */

/** The health of a process. `problems` keep its services from their work; `notes` may be as intended, and are no failure. */
export type Health = { node: string; services: string[]; problems: string[]; notes?: string[] };

/** How long a process may take to answer for all of its services. */
const PROCESS_MS = 5000;
/** The exit codes of `exit.ts`. */
const [FAILED, UNREACHABLE] = [1, 3];

/**
 * Print the health of the process at the socket `file`. Exits with 0 where it is well, 1 where not, 3 without an
 * answer.
 */
export async function checkHealth(file: string, json: boolean): Promise<void> {
  let health: Health;
  try {
    health = await askHealth(file);
  } catch (error) {
    const message = `no process answers at the health socket ${file}: ${error instanceof Error ? error.message : error}`;
    console.error(json ? JSON.stringify({ error: { code: 'no-node', message } }) : `sealpost: ${message}`);
    process.exitCode = UNREACHABLE;
    return;
  }
  const { node, services, problems, notes = [] } = health;
  const lines = problems.length === 0 ? [`${services.join(', ')} of ${node}: well`] : problems;
  console.log(json ? JSON.stringify(health, undefined, 2) : [...lines, ...notes].join('\n'));
  if (problems.length > 0) process.exitCode = FAILED;
}

async function askHealth(file: string): Promise<Health> {
  const socket = createConnection(file);
  try {
    socket.setTimeout(PROCESS_MS, () => socket.destroy(new Error(`no answer within ${PROCESS_MS / 1000} s`)));
    const health = JSON.parse(await text(socket)) as Health;
    if (!Array.isArray(health.problems) || !Array.isArray(health.services)) throw new Error('its answer is no health');
    return health;
  } finally {
    socket.destroy();
  }
}
