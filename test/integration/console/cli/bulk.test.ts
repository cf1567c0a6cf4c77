import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fill } from '#test/bench/scale/fill.ts';
import { interruptedOnTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';

/** Commands for much mail; test/bench/scale/bulk.ts has the same of 100,000 messages. */

const MESSAGES = 3000;

test('a change of much mail is counted, interrupted and resumed, and its counts are exact', {
  timeout: 180_000,
}, async (t) => {
  await using node = await SealpostNode.create({ config: 'routes: [{ to: "*", via: "smtp://127.0.0.1:1" }]\n' });
  await fill({
    folder: join(node.folder, 'data'),
    ...{ messages: MESSAGES, destinations: 100, size: 500, dueIn: () => 3_600_000 },
  });
  await node.start();
  const run = async (...args: string[]): Promise<{ count: number }> => {
    const result = await sealpost(['queue', ...args, '--json', '--config', node.configFile], { cwd: node.folder });
    assert.equal(result.code, 0, result.stderr);
    return JSON.parse(result.stdout) as { count: number };
  };
  assert.equal((await run('hold', '--all', '--dry-run')).count, MESSAGES);
  assert.equal((await run('hold', '--domain', 'd7.dead.test', '--dry-run')).count, MESSAGES / 100);
  // A fast machine is done before the key is pressed: then the next one is to be interrupted.
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 10, 'no command was interrupted');
    const line = ['queue', tries % 2 === 0 ? 'hold' : 'release', '--all'];
    const args = [...line, '--yes', '--config', node.configFile];
    const { code, output } = await interruptedOnTerminal(node.folder, args, /\d+ of 3000 /);
    const first = Number(/(\d+) messages? (held|released)\r?\n/.exec(output)?.[1]);
    const { count } = await run(...line.slice(1), '--yes');
    assert.equal(first + count, MESSAGES, output);
    assert.equal((await run(...line.slice(1), '--dry-run')).count, 0);
    if (code !== 130) continue;
    assert.match(output, /interrupted: the same command goes on with the rest, as it does with --after [\w-]+:\w+/);
    t.diagnostic(`${first} before Control-C, ${count} after it`);
    break;
  }
});
