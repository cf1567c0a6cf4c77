import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { SealpostError } from '#shared/errors.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';

/**
 * A node of a replicated map, as a process that can be killed: `node writing-node.ts <name> <folder> <bucket>
 * <server>...`. It adds marks to records, one after the other, until SIGTERM, and says what became of each:
 * `try <mark> <key>`, then `made`, `failed` or `unknown` with the mark. A mark without an end is unknown, too.
 */
export const Marks = z.object({ marks: z.array(z.string()) });
export type Marks = z.infer<typeof Marks>;

export const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];
/** Longest pause between changes, and the pause after one that was refused, in milliseconds. */
const PAUSE = 50;
const REFUSED = 250;

const say = (...words: string[]): void => void writeSync(1, `${words.join(' ')}\n`);

/** Whether the change was made. */
async function write(node: MapNode<Marks>, mark: string, key: string): Promise<boolean> {
  say('try', mark, key);
  try {
    await node.map.update(key, (now) => ({ marks: [...(now?.marks ?? []), mark] }));
    say('made', mark);
    return true;
  } catch (error) {
    const { code, message } = error as SealpostError;
    say(code === 'no-quorum' && !message.includes('not known') ? 'failed' : 'unknown', mark, code, message);
    return false;
  }
}

if (import.meta.main) {
  const [name = '', folder = '', bucket = '', ...servers] = process.argv.slice(2);
  let stopped = false;
  process.once('SIGTERM', () => {
    stopped = true;
  });
  const node = await MapNode.start({ schema: Marks, node: name, folder, bucket, servers });
  say('up');
  // Of this run alone: what it marked before it was killed is another's.
  const run = `${name}.${process.pid}`;
  for (let i = 0; !stopped; i++) {
    const key = KEYS[Math.floor(Math.random() * KEYS.length)] ?? '';
    const made = await write(node, `${run}.${i}`, key);
    await delay(made ? Math.random() * PAUSE : REFUSED);
  }
  await node[Symbol.asyncDispose]();
}
