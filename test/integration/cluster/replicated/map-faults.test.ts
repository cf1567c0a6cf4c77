import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Cable } from '#test/kit/bus/cable.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';
import { MapSite } from '#test/kit/bus/map-site.ts';
import { Program } from '#test/kit/program.ts';
import { seededRandom } from '#test/kit/random.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Marks } from './writing-node.ts';

/**
 * Five nodes write all the time, each a process of its own, while servers and nodes are killed and lines are cut. In
 * the end every change that was answered is there, none is there twice, none that was refused is there, and all nodes
 * hold the same. The faults come from a seed, `SEED=n` gives a run's again; when they hit is the machine's affair.
 */
const SEED = Number(process.env['SEED'] ?? 7);
const NODES = 5;
const SECONDS = Number(process.env['SECONDS'] ?? 25);

class Fleet implements AsyncDisposable {
  readonly cables: Cable[][] = [];
  readonly #programs: Program[] = [];
  /** What every process said, the ended ones too. */
  #said: string[] = [];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  folder(i: number): string {
    return join(this.#folder, String(i));
  }

  async launch(i: number): Promise<void> {
    const urls = (this.cables[i] ?? []).map(({ url }) => url);
    const script = join(import.meta.dirname, 'writing-node.ts');
    this.#programs[i] = new Program(process.execPath, [script, `n${i}`, this.folder(i), 'marks', ...urls]);
    await this.#programs[i].waitForOutput(/^up$/m, 30_000);
  }

  async kill(i: number): Promise<void> {
    await this.#programs[i]?.kill();
    this.#said.push(this.#programs[i]?.output ?? '');
    await this.launch(i);
  }

  /** Let every process finish, and resolve to what all said. */
  async stop(): Promise<string> {
    await Promise.all(this.#programs.map((program) => program.stop(60_000)));
    this.#said.push(...this.#programs.map(({ output }) => output));
    return this.#said.join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
    for (const cable of this.cables.flat()) await cable[Symbol.asyncDispose]();
  }
}

/** What can happen; each resolves when it is over. */
function faults(site: MapSite, fleet: Fleet, random: () => number): Record<string, () => Promise<void>> {
  const any = (count: number): number => Math.floor(random() * count);
  const line = async (break_: (cable: Cable) => void, ms: number): Promise<void> => {
    const cables = fleet.cables[any(NODES)] ?? [];
    for (const cable of cables) break_(cable);
    await delay(ms);
    for (const cable of cables) cable.mend();
  };
  return {
    'server killed': async () => {
      const server = site.server(any(3));
      await server.kill();
      await delay(500);
      await server.restart();
    },
    'server paused': async () => {
      const server = site.server(any(3));
      await server.pause();
      await delay(500 + any(2500));
      server.resume();
    },
    'node killed': () => fleet.kill(any(NODES)),
    'line cut': () => line((cable) => cable.cut(), any(1000)),
    'line silent': () => line((cable) => cable.silence(), any(4000)),
    'all servers killed': async () => {
      await Promise.all(site.servers.map((server) => server.kill()));
      await Promise.all(site.servers.map((server) => server.restart()));
    },
  };
}

const PLAN = [
  ...['node killed', 'line cut', 'server paused', 'line silent', 'all servers killed', 'server killed'],
  ...['line silent', 'node killed', 'line cut', 'server killed', 'node killed', 'line silent'],
];

function tally(said: string): { tried: Set<string>; made: Set<string>; failed: Set<string> } {
  const marks = (word: string) =>
    new Set([...said.matchAll(new RegExp(`^${word} (\\S+)`, 'gm'))].map(([, m]) => m ?? ''));
  return { tried: marks('try'), made: marks('made'), failed: marks('failed') };
}

test('whatever fails: what was answered is kept, once, and all nodes agree', needs('nats-server'), async (t) => {
  const random = seededRandom(SEED);
  await using dir = await tempDir('fleet');
  await using site = await MapSite.start();
  await using fleet = new Fleet(dir.path);
  for (let i = 0; i < NODES; i++) {
    fleet.cables[i] = await Promise.all(site.servers.map(({ port }) => Cable.start(port)));
  }
  await Promise.all(fleet.cables.map((_, i) => fleet.launch(i)));

  const possible = faults(site, fleet, random);
  const end = performance.now() + SECONDS * 1000;
  await delay(1000);
  for (let i = 0; performance.now() < end; i++) {
    const name = PLAN[i % PLAN.length] ?? '';
    await possible[name]?.();
    await delay(random() * 1000);
  }
  const said = await fleet.stop();

  const nodes: MapNode<Marks>[] = [];
  await using undo = new AsyncDisposableStack();
  for (let i = 0; i < NODES; i++) {
    const options = { schema: Marks, node: `n${i}`, bucket: 'marks', folder: fleet.folder(i), servers: site.urls };
    nodes.push(undo.use(await MapNode.start(options)));
  }
  const shown = ({ map }: MapNode<Marks>): string => JSON.stringify([map.state, map.revision, map.entries()]);
  await waitFor(() => nodes.every(({ map }) => map.state === 'following') && new Set(nodes.map(shown)).size === 1, {
    ...{ what: 'all nodes to hold the same', timeout: 30_000 },
  });

  const { tried, made, failed } = tally(said);
  const entries = nodes[0]?.map.entries() ?? [];
  const kept = entries.flatMap(({ value }) => value.marks);
  t.diagnostic(`seed ${SEED}: ${tried.size} changes, ${made.size} made, ${failed.size} refused, ${kept.length} kept`);
  const once = new Set(kept);
  assert.equal(kept.length, once.size, 'no change is there twice');
  assert.deepEqual(
    [...made].filter((mark) => !once.has(mark)),
    [],
    'no change that was answered is missing',
  );
  assert.deepEqual(
    [...failed].filter((mark) => once.has(mark)),
    [],
    'no change that was refused is there',
  );
  assert.deepEqual(
    [...once].filter((mark) => !tried.has(mark)),
    [],
    'nothing is there that nobody wrote',
  );
  for (const { key, version, value } of entries) assert.equal(version, value.marks.length, `version of ${key}`);
  assert.ok(made.size > 150 && made.size > tried.size / 2, `most changes are made: ${made.size} of ${tried.size}`);
});
