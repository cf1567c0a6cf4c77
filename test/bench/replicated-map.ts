import { cpus } from 'node:os';
import { alike, count, following, MapSite, type NoteNode } from '#test/kit/bus/map-site.ts';

/**
 * Five nodes of a replicated map on three NATS servers, all on this machine: how long it takes until a new record is
 * synced on the node that made it, and until all five have it synced; how many changes a second one node makes, and
 * five of one record: `node test/bench/replicated-map.ts`.
 */
const CREATIONS = 200;
const CHANGES = 500;
/** Four DKIM keys of 2048 bits, wrapped. */
const RECORD = 'x'.repeat(8 * 1024);

const line = (text: string): void => void process.stdout.write(`${text}\n`);

function report(what: string, times: number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.ceil(sorted.length * part) - 1] ?? 0).toFixed(1);
  line(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`);
}

/** Resolves when the node shows the record. */
function seen({ map }: NoteNode, key: string): Promise<void> {
  return new Promise((resolve) => {
    const stop = map.onChange((keys) => {
      if (!keys.includes(key)) return;
      stop();
      resolve();
    });
  });
}

await using site = await MapSite.start();
await using set = await site.nodes(5);
const { nodes } = set;
line(`${cpus().length} cores (${cpus()[0]?.model}), Node ${process.version}`);

const own: number[] = [];
const everywhere: number[] = [];
for (let i = 0; i < CREATIONS; i++) {
  const key = `domain!${i}.example`;
  const start = performance.now();
  const all = Promise.all(nodes.map((node) => seen(node, key)));
  await nodes[i % nodes.length]?.map.update(key, () => ({ text: RECORD }));
  own.push(performance.now() - start);
  await all;
  everywhere.push(performance.now() - start);
}
report(`${CREATIONS} creations, answered`, own);
report(`${CREATIONS} creations, seen on ${nodes.length} nodes`, everywhere);

for (const writers of [nodes.slice(0, 1), nodes]) {
  const start = performance.now();
  await Promise.all(
    writers.map(async ({ map }) => {
      for (let i = 0; i < CHANGES / writers.length; i++) await map.update('n', count);
    }),
  );
  const perSecond = (CHANGES / (performance.now() - start)) * 1000;
  line(`one record, ${writers.length} nodes that change it: ${perSecond.toFixed(0)} changes/s`);
}
await alike(nodes);

const start = performance.now();
await using fresh = await site.node({ node: 'fresh', bucket: set.bucket, folder: set.folder(5) });
await following([fresh]);
line(`a new node holds ${fresh.map.entries().length} records after ${(performance.now() - start).toFixed(0)} ms`);
