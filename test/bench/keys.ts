import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { client } from '#cluster/actor.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { type RunningNode, startNode } from '#services/node.ts';
import { signerContract } from '#services/signer/contract.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Five nodes (credential-store and signer each) on three NATS servers, all on this machine: how long it takes from the
 * committed write of a new key until the signers of all five can sign with it, and until it signs mail. The nodes share
 * a process here, and have four threads each as in life by `UV_THREADPOOL_SIZE=20 node test/bench/keys.ts [creations]`.
 */
const CREATIONS = Number(process.argv[2] ?? 200);
const NODES = 5;

const line = (text: string): void => void process.stdout.write(`${text}\n`);

function report(what: string, times: number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.ceil(sorted.length * part) - 1] ?? 0).toFixed(1);
  line(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`);
}

async function start(folder: string, name: string, nek: string, servers: string[]): Promise<RunningNode> {
  const data = join(folder, name);
  await mkdir(data);
  const domains = Array.from({ length: CREATIONS }, (_, i) => ({ name: `d${i}.example`, keys: { proof: 'none' } }));
  const config = ConfigSchema.parse({ node: { name, data }, bus: { servers }, credentials: { nek }, domains });
  return startNode({ config, services: ['credential-store', 'signer'], log: silentLogger });
}

/** Resolves when the signer of a node can sign with a key. */
async function canSign(node: RunningNode, name: string, key: { domain: string; selector: string }): Promise<void> {
  const signer = client(node.bus, signerContract);
  for (;;) {
    try {
      await signer['key-prove']({ ...key, challenge: 'abcdefghijklmnop' }, { node: name });
      return;
    } catch {
      await delay(1);
    }
  }
}

await using dir = await tempDir('keys');
await using nats = await startNatsCluster(3);
const nek = join(dir.path, 'nek.key');
await writeFile(nek, generateNek('bench'), { mode: 0o600 });
await using undo = new AsyncDisposableStack();
const servers = nats.servers.map((server) => server.url);
const names = Array.from({ length: NODES }, (_, i) => `edge-${i + 1}`);
const nodes: RunningNode[] = [];
for (const name of names) nodes.push(undo.use(await start(dir.path, name, nek, servers)));
const stores = nodes.map((node) => client(node.bus, credentialStoreContract));
for (const [i, store] of stores.entries()) {
  const own = { node: names[i] ?? '' };
  await waitFor(async () => (await store['status-show']({}, own)).holders.length === 2 * NODES, {
    what: 'all to know all',
  });
}
line(`${cpus().length} cores (${cpus()[0]?.model}), Node ${process.version}`);

const held: number[] = [];
const active: number[] = [];
const prints = new Set<string>();
for (let i = 0; i < CREATIONS; i++) {
  const n = i % NODES;
  const key = { domain: `d${i}.example`, selector: 's1' };
  const { fingerprint } = await (stores[n] as (typeof stores)[0])['key-create']({ ...key, algorithm: 'rsa-2048' });
  const committed = performance.now();
  await Promise.all(nodes.map((node, m) => canSign(node, names[m] ?? '', key)));
  held.push(performance.now() - committed);
  for (const [m, store] of stores.entries()) {
    const own = { node: names[m] ?? '' };
    prints.add(`${i} ${(await store['key-show'](key, own)).fingerprint === fingerprint}`);
    for (;;) {
      if ((await store['key-show'](key, own)).state === 'active') break;
      await delay(2);
    }
  }
  active.push(performance.now() - committed);
}
report(`${CREATIONS} keys, from the committed write until all ${NODES} nodes can sign`, held);
report('until it is active, as every node sees it', active);
line(`same fingerprint on all nodes: ${[...prints].every((p) => p.endsWith('true'))}`);
