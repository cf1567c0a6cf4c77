import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { accepts, freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The example of an HAProxy in front of listeners. */
const EXAMPLE = resolve(import.meta.dirname, '../../../cluster/compose/haproxy.cfg');
/** Its listeners, found by Docker's name server; a test names their ports in place of that. */
const LISTENERS = /^( +)server-template listener 20 listener:\d+(.*) resolvers docker init-addr none$/m;

export type Haproxy = AsyncDisposable & { port: number; output: () => string };

/**
 * A real HAProxy on loopback, with what the example has for one kind of listener: those on these ports of 127.0.0.1,
 * whether anything listens there or not. `sends`: the version of the PROXY protocol.
 */
export async function startHaproxy(
  kind: 'mx' | 'submission' | 'submissions',
  listeners: number[],
  sends: 'send-proxy' | 'send-proxy-v2' = 'send-proxy',
): Promise<Haproxy> {
  await using undo = new AsyncDisposableStack();
  const dir = undo.use(await tempDir('haproxy'));
  const port = await freePort();
  const file = join(dir.path, 'haproxy.cfg');
  await writeFile(
    file,
    onLoopback((await readFile(EXAMPLE, 'utf8')).replace(/send-proxy$/m, sends), kind, port, listeners),
  );
  const program = undo.use(new Program('haproxy', ['-db', '-f', file]));
  await waitFor(() => program.exit !== undefined || accepts(port), { what: 'HAProxy to listen' });
  if (program.exit !== undefined) throw new Error(program.output);
  const resources = undo.move();
  return { port, output: () => program.output, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

function onLoopback(example: string, kind: string, port: number, listeners: readonly number[]): string {
  const begin = example.indexOf('\nresolvers ');
  // A frontend with its backend ends at an empty line.
  const mine = example.split('\n\n').find((part) => part.includes(`frontend ${kind}\n`));
  if (begin < 0 || mine === undefined || !LISTENERS.test(mine)) throw new Error('the example is not what it was');
  const servers = (_: string, indent: string, options: string): string =>
    listeners.map((p, i) => `${indent}server listener-${i + 1} 127.0.0.1:${p}${options}`).join('\n');
  return `${example.slice(0, begin)}\n${mine.replace(/bind :\d+/, `bind 127.0.0.1:${port}`).replace(LISTENERS, servers)}\n`;
}
