import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { requireConfig } from '#cluster/config/load.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { changedPaths, needsRestart, watchConfig } from '#cluster/config/watch.ts';
import { Secret } from '#shared/secret.ts';

type Line = { msg: string; changed?: string[]; problems?: string[] };

async function setup(text: string) {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-watch-'));
  const file = join(folder, 'sealpost.yaml');
  await writeFile(file, text);
  const lines: Line[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()) as Line);
      done();
    },
  });
  const settings = new Settings((await requireConfig(file)).config);
  const watch = await watchConfig(file, settings, pino(sink));
  const said = async (words: RegExp): Promise<Line> => {
    const end = Date.now() + 5000;
    while (Date.now() < end) {
      const line = lines.find((l) => words.test(l.msg));
      if (line !== undefined) return line;
      await sleep(10);
    }
    throw new Error(`never said ${words}: ${JSON.stringify(lines)}`);
  };
  const close = async () => {
    await watch.close();
    await rm(folder, { recursive: true });
  };
  return { file, lines, settings, watch, said, [Symbol.asyncDispose]: close };
}

test('a valid change is in force, also when an editor renames a new file over the old', async () => {
  await using w = await setup('listeners: []\n');
  const seen: number[] = [];
  w.settings.onChange((next) => seen.push(next.limits.sessions));
  await writeFile(`${w.file}.new`, 'listeners: []\nlimits: { sessions: 7 }\n');
  await rename(`${w.file}.new`, w.file);
  const line = await w.said(/configuration changed/);
  assert.deepEqual(line.changed, ['limits.sessions']);
  assert.equal(w.settings.current.limits.sessions, 7);
  assert.deepEqual(seen, [7]);
});

test('an invalid change is refused with all its problems, and a later valid one still works', async () => {
  await using w = await setup('listeners: []\n');
  await writeFile(w.file, 'listeners: []\nlimits: { sessions: x, errors: 0 }\n');
  const line = await w.said(/refused, the running one stays/);
  assert.equal(line.problems?.length, 2);
  assert.match(line.problems?.[0] ?? '', /sealpost\.yaml:2: limits\.sessions: expected a number/);
  assert.equal(w.settings.current.limits.sessions, 1000);
  assert.match(w.settings.refused ?? '', /limits\.sessions: expected a number.*; .*limits\.errors/);
  await writeFile(w.file, 'listeners: []\nlimits: { sessions: 9 }\n');
  await w.said(/configuration changed/);
  assert.equal(w.settings.refused, undefined);
  assert.equal(w.settings.current.limits.sessions, 9);
});

test('what needs a restart is refused as a whole and says so', async () => {
  await using w = await setup('listeners: []\n');
  await writeFile(w.file, 'listeners: []\nnode: { name: other, data: ./elsewhere }\nlimits: { sessions: 9 }\n');
  const line = await w.said(/refused/);
  assert.deepEqual(line.problems, [
    'node.name cannot change while running: restart sealpost',
    'node.data cannot change while running: restart sealpost',
  ]);
  assert.equal(w.settings.current.limits.sessions, 1000);
});

test('a file that disappears changes nothing', async () => {
  await using w = await setup('listeners: []\nlimits: { sessions: 5 }\n');
  await rm(w.file);
  await w.said(/not reloaded/);
  assert.equal(w.settings.current.limits.sessions, 5);
});

test('that the file is gone is said once, however often the folder changes, and again when it is asked for', async () => {
  await using w = await setup('listeners: []\n');
  await rm(w.file);
  await w.said(/not reloaded/);
  const complaints = () => w.lines.filter((line) => /not reloaded/.test(line.msg)).length;
  // A log in the same folder changes it with every line, and must not write about itself for ever.
  for (const text of ['1', '2']) {
    await writeFile(join(dirname(w.file), 'log'), text);
    await sleep(300);
  }
  assert.equal(complaints(), 1);
  await w.watch.reload();
  assert.equal(complaints(), 2);
  await writeFile(w.file, 'listeners: []\nlimits: { sessions: 9 }\n');
  await w.said(/configuration changed/);
});

test('a reload by hand hands the configuration out again, though its text is the same', async () => {
  await using w = await setup('listeners: []\n');
  let calls = 0;
  w.settings.onChange(() => calls++);
  await w.watch.reload();
  assert.equal(calls, 1);
  await w.said(/nothing changed/);
});

test('changed paths: secrets are compared by what they hold and never shown', () => {
  const a = { list: [{ x: 1, password: new Secret('a') }], same: { y: [1, 2] } };
  assert.deepEqual(changedPaths(a, { list: [{ x: 1, password: new Secret('b') }], same: { y: [1, 2] } }), [
    'list[0].password',
  ]);
  assert.deepEqual(changedPaths(a, { list: [{ x: 1, password: new Secret('a') }], same: { y: [1, 2] } }), []);
  assert.deepEqual(changedPaths(a, { list: [], same: { y: [1, 3] } }), ['list', 'same.y[1]']);
  assert.deepEqual(changedPaths({ a: undefined }, { a: { b: 1 } }), ['a']);
});

test('a secret that this process does not read does not hinder a change, and is known by its place', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-watch-'));
  const file = join(folder, 'sealpost.yaml');
  const text = (secret: string) =>
    `listeners: []\nroutes: [{ to: "*", via: "smtp://u@host", tls: required, password: { file: ${secret} } }]\ncredentials: { nek: { env: SEALPOST_TEST_ABSENT } }\n`;
  await writeFile(file, text('absent'));
  const services = ['listener'];
  const { config } = await requireConfig(file, { services });
  const settings = new Settings(config);
  const watch = await watchConfig(file, settings, pino({ level: 'silent' }), services);
  try {
    await writeFile(file, `${text('absent')}limits: { sessions: 7 }\n`);
    await watch.reload();
    assert.equal(settings.current.limits.sessions, 7);
    const before = settings.current;
    await writeFile(file, text('elsewhere'));
    await watch.reload();
    assert.deepEqual(changedPaths(before, settings.current), ['limits.sessions', 'routes[0].password']);
  } finally {
    await watch.close();
    await rm(folder, { recursive: true });
  }
});

test('zones and the times of keys change live, a changed secret of a zone with a reload; replicas need a restart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-watch-'));
  const file = join(folder, 'sealpost.yaml');
  const zone =
    'dns: { zones: [{ name: a.example, update: { server: 127.0.0.1, key: edge, secret: { file: tsig } } }] }\n';
  await writeFile(join(folder, 'tsig'), 'Zmlyc3Q=\n', { mode: 0o600 });
  await writeFile(file, 'listeners: []\n');
  const settings = new Settings((await requireConfig(file)).config);
  const watch = await watchConfig(file, settings, pino({ level: 'silent' }));
  const secret = (): string | undefined => settings.current.dns.zones[0]?.update?.secret.reveal();
  try {
    await writeFile(file, `listeners: []\n${zone}keys: { ttl: 5m }\n`);
    await watch.reload();
    assert.equal(secret(), 'Zmlyc3Q=');
    assert.equal(settings.current.keys.ttl, 300_000);
    await writeFile(join(folder, 'tsig'), 'c2Vjb25k\n', { mode: 0o600 });
    await watch.reload();
    assert.equal(secret(), 'c2Vjb25k');
    await writeFile(join(folder, 'tsig'), 'no base64!\n', { mode: 0o600 });
    await watch.reload();
    assert.equal(secret(), 'c2Vjb25k');
  } finally {
    await watch.close();
    await rm(folder, { recursive: true });
  }
  const bus = { servers: ['nats://127.0.0.1:4222'] };
  const running = ConfigSchema.parse({ bus });
  assert.deepEqual(needsRestart(running, ConfigSchema.parse({ bus: { ...bus, replicas: 3 } })), ['bus.replicas']);
});
