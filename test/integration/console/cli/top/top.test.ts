import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';

/** `sealpost top` beside a node with mail. */

type Line = {
  all: { rates: Record<string, number>; signed?: number; queue: object };
  nodes: object;
  silent: unknown[];
};

test('top shows the mail that passes, for programs and on a terminal', { timeout: 60_000 }, async () => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  await node.start();
  await using load = new Load('top', { port: node.port, sessions: 2, rate: 20 });
  load.start();
  const common = ['--config', node.configFile];
  const { code, stdout, stderr } = await sealpost(['top', '--json', '--every', '1', '--count', '3', ...common], {
    cwd: node.folder,
  });
  assert.equal(code, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  assert.equal(lines.length, 3);
  const sum = (name: string): number => lines.reduce((all, line) => all + (line.all.rates[name] ?? 0), 0);
  assert.ok(sum('accepted') > 0 && sum('delivered') > 0, stdout);
  assert.deepEqual(
    lines.map(({ silent }) => silent),
    [[], [], []],
  );
  assert.deepEqual(Object.keys(lines[0]?.nodes ?? {}), ['edge-1']);

  const shown = await onTerminal(node.folder, ['top', '--every', '1', '--count', '1', ...common]);
  assert.equal(shown.code, 0, shown.output);
  assert.match(shown.output, /\x1b\[\?1049h[\s\S]*sealpost top: 1 node[\s\S]*edge-1[\s\S]*\x1b\[\?1049l/);
  const ended = await onTerminal(node.folder, ['top', '--every', '1', ...common], 'q');
  assert.equal(ended.code, 0, ended.output);
});

test('a key ends it also while a node hangs', { timeout: 60_000 }, async () => {
  await using node = await SealpostNode.create({ sink: 1 });
  await node.start();
  const [program] = node.programs.values();
  await program?.pause();
  const { code, output } = await onTerminal(node.folder, ['top', '--config', node.configFile], 'q');
  assert.equal(code, 0, output);
  assert.match(output, /\x1b\[\?1049h[\s\S]*\x1b\[\?1049l\s*$/);
});
