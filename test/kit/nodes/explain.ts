import { join } from 'node:path';
import { client } from '#cluster/actor.ts';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import { listenerContract } from '#services/listener/contract.ts';
import type { SealpostNode } from './node.ts';

export type Question = { client: string; helo: string; from?: string; to: string; user?: string };

/** What `sealpost explain` asks a whole node, without the time that a command takes to start: the last reply. */
export async function explain(node: SealpostNode, question: Question): Promise<{ code: number; reply: string[] }> {
  const listener = client(new ControlClient(join(node.folder, 'data')), listenerContract);
  const { steps } = await listener['session-explain'](question);
  const last = steps.at(-1);
  if (last === undefined) throw new Error('no step is explained');
  return last;
}
