import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parsePage, sectionOf } from '#test/kit/docs/markdown.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { DOMAIN, EdgeCluster } from '#test/kit/nodes/edge-cluster.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * The schedule of docs/operate/keys.md, `--every 90d --at 03:00 --zone Europe/Berlin`, on three nodes whose clocks the test
 * moves: nothing happens until the moment, and then one rotation, by itself, while mail flows and every signature verifies.
 *
 * The nodes begin 90 days ago and come to today, because BIND takes an update only from those who share its time (TSIG, RFC
 * 8945 §5.2.3). The first key is published by hand, as always where updates fail.
 */
const CLOCK = fileURLToPath(new URL('../../kit/moved-clock.ts', import.meta.url));
const [ZONE, HOUR] = ['Europe/Berlin', 3];
const DAY_MS = 86_400_000;
const DAYS = 90;

const berlin = new Intl.DateTimeFormat('en-CA', {
  timeZone: ZONE,
  dateStyle: 'short',
  timeStyle: 'short',
  hour12: false,
});
const hourOf = (time: number): string => (berlin.format(time).split(', ')[1] ?? '').replace(/^24/, '00');

/** The last moment until `time` that is at that hour in that zone. */
function lastAt(time: number): number {
  const minute = 60_000;
  for (let at = time - (time % minute); ; at -= minute) if (hourOf(at) === `0${HOUR}:00`) return at;
}

/** The commands of the document, by what they contain. */
async function commands(): Promise<{ set: string[]; show: string[]; off: string[] }> {
  const page = await readFile(join(ROOT, 'docs/operate/keys.md'), 'utf8');
  const lines = parsePage(sectionOf(page, 'Schedule')).blocks.flatMap(({ text }) => text.trim().split('\n'));
  const words = lines.map((line) => line.replace(/ +#.*/, '').split(' ').slice(1));
  const [set, show, off] = words;
  assert.ok(words.length === 3 && set !== undefined && show !== undefined && off !== undefined, lines.join('\n'));
  return { set, show, off };
}

test('a schedule fires on three nodes, once, at its time and not before', {
  ...needs('nats-server', 'named', ...VERIFIER),
  timeout: 4 * 60_000,
}, async (t) => {
  const { set, show, off } = await commands();
  const due = lastAt(Date.now());
  await using folder = await tempDir('clock');
  const file = join(folder.path, 'clock');
  const setClock = async (time: number, running: readonly SealpostNode[] = []): Promise<void> => {
    const moved = time - Date.now();
    await writeFile(`${file}.new`, String(moved));
    await rename(`${file}.new`, file);
    const said = new RegExp(`the clock is moved by ${moved} ms`);
    await Promise.all(running.map(({ programs }) => programs.get('all')?.waitForOutput(said)));
  };
  await setClock(due - DAYS * DAY_MS + DAY_MS / 2);
  const environment = { NODE_OPTIONS: `--import=${CLOCK}`, TEST_CLOCK: file };
  await using cluster = await EdgeCluster.start({ size: 3, environment });
  const { zones, nodes, sink } = cluster;
  const value = async (selector: string): Promise<string> =>
    (await cluster.node(1).sealpost('keys', 'export-dns', DOMAIN, selector, '--value')).trim();

  const created = async () => (await cluster.node(2).sealpost('keys', 'create', DOMAIN, 's1')) !== undefined;
  await waitFor(created, { what: 'a majority of the NATS servers to take the first key', timeout: 30_000 });
  const strings = (await value('s1')).match(/.{1,200}/g)?.map((part) => `"${part}"`);
  assert.equal(await zones.nsupdate([`update add s1._domainkey.${DOMAIN}. 1 TXT ${strings?.join(' ')}`]), '');
  await cluster.reached('s1', 'active');

  const loads = cluster.loads('schedule', 15);
  await using sending = new AsyncDisposableStack();
  for (const load of loads) {
    load.start();
    sending.use(load);
  }
  const flows = async (selector: string): Promise<void> => {
    const before = sink.passed.get(selector) ?? 0;
    await waitFor(() => (sink.passed.get(selector) ?? 0) >= before + 30, {
      what: `mail signed by ${selector}`,
      timeout: 60_000,
    });
  };

  const nextOf = async (node: SealpostNode): Promise<number[]> => {
    const { schedules } = JSON.parse(await node.sealpost(...show, '--json')) as { schedules: { next: number }[] };
    return schedules.map(({ next }) => next);
  };

  await t.test('it is set on one node, and every node knows when it is next', async () => {
    await cluster.node(3).sealpost(...set);
    for (const node of nodes)
      await waitFor(async () => assert.deepEqual(await nextOf(node), [due]) === undefined, { what: 'the schedule' });
  });

  await t.test('ten minutes before, the key is the old one', async () => {
    await setClock(due - 10 * 60_000, nodes);
    await flows('s1');
    assert.deepEqual(await cluster.active(), ['s1']);
    assert.equal(await cluster.rotation(), undefined);
  });

  await t.test('the time comes: another key is made, published, proven and signs, on every node', async () => {
    await setClock(Date.now(), nodes);
    const others = async (): Promise<string[]> => (await cluster.active()).filter((selector) => selector !== 's1');
    const [selector = ''] = await waitFor(async () => ((await others()).length > 0 ? others() : undefined), {
      what: 'another key to sign',
      timeout: 60_000,
    });
    for (const node of nodes)
      await waitFor(async () => (await cluster.active(node)).join() === selector, { what: 'one key', timeout: 30_000 });
    await zones.settled(`${selector}._domainkey.${DOMAIN}`, [await value(selector)]);
    await flows(selector);
    await cluster.reached('s1', 'retiring');
    t.diagnostic(`${selector} took the place of s1`);
  });

  await t.test('it fires once, and the next time is ninety days later', async () => {
    const keys = await cluster.keys();
    assert.equal(keys.length, 2, JSON.stringify(keys.map(({ selector }) => selector)));
    for (const node of nodes) {
      const [next = 0, ...more] = await nextOf(node);
      assert.deepEqual(more, []);
      assert.equal(hourOf(next), `0${HOUR}:00`);
      assert.equal(Math.round((next - due) / DAY_MS), DAYS);
    }
    await cluster.node(1).sealpost(...off);
    for (const node of nodes) await waitFor(async () => (await nextOf(node)).length === 0, { what: 'no schedule' });
  });

  await Promise.all(loads.map((load) => load.stop()));
  await cluster.arrived(loads);
  assert.deepEqual(sink.bad, []);
});
