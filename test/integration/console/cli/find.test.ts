import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import type { FoundMessage } from '#shared/mail/message-search.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Three nodes with two copies of each message: what one of them delivered is found at the others, and outlives it. */

type Found = { messages: FoundMessage[]; more: boolean; silent: string[] };

test('mail is found at any node, each message once, also when the node that delivered it is gone', {
  ...needs('nats-server'),
  timeout: 240_000,
}, async () => {
  await using nats = await startNatsServer({ jetStream: true });
  await using undo = new AsyncDisposableStack();
  // The second recipient is deferred at first.
  let deferrals = 1;
  const script = ({ verb, address }: { verb: string; address: string }): string | undefined =>
    verb === 'RCPT' && address === 'late@dest.test' && deferrals-- > 0 ? '451 4.2.0 Try later' : undefined;
  const sink = undo.use(await SmtpSink.start({ script }));
  const nek = generateNek('find');
  const config = `bus: { servers: ["${nats.url}"] }\nqueue: { copies: 2 }`;
  const nodes: SealpostNode[] = [];
  for (const name of ['edge-1', 'edge-2', 'edge-3'])
    nodes.push(undo.use(await SealpostNode.create({ name, nek, sink: sink.port, config })));
  const [one, , three] = nodes;
  assert.ok(one !== undefined && three !== undefined);
  await Promise.all(nodes.map((node) => node.start()));

  const send = async (to: string, count: number, from = 'sender@example.com'): Promise<void> => {
    const load = undo.use(new Load(`to-${to}`, { port: one.port, sessions: 1, from, to, sizes: [300], rate: 20 }));
    load.start();
    await waitFor(() => load.accepted.size >= count, { what: `mail to ${to}`, timeout: 60_000 });
    await load.stop();
  };
  const run = (...args: string[]): Promise<CommandResult> =>
    sealpost([...args, '--config', three.configFile], { cwd: three.folder });
  const find = async (...args: string[]): Promise<Found> =>
    JSON.parse((await run('queue', 'find', ...args, '--json')).stdout) as Found;

  // Until its own router takes mail, a listener gives it to another one.
  const takesMail = async (): Promise<boolean> => {
    await send('early@dest.test', 1, 'early@elsewhere.test');
    return (await find('early@dest.test')).messages[0]?.node === 'edge-1';
  };
  await waitFor(takesMail, { what: 'edge-1 to take mail', timeout: 60_000 });
  await send('rcpt@dest.test', 5);
  await send('late@dest.test', 1);
  const late = await waitFor(
    async () => (await find('late@dest.test')).messages.find(({ state }) => state === 'deferred'),
    { what: 'the deferred one', timeout: 30_000 },
  );
  assert.equal(late.node, 'edge-1');
  assert.equal((await run('queue', 'retry', late.queueId)).code, 0);
  const all = await waitFor(
    async () => {
      const { messages } = await find('--from', 'example.com');
      return messages.length >= 6 && messages.every(({ state }) => state === 'finished') ? messages : undefined;
    },
    { what: 'all to be delivered', timeout: 30_000 },
  );
  const ids = all.map(({ queueId }) => queueId);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids, ids.toSorted().reverse());
  assert.ok(all.every(({ node, copy }) => node === 'edge-1' && copy === undefined));
  const first = all.at(-1);
  assert.deepEqual(
    (await find(first?.messageId ?? '')).messages.map(({ queueId }) => queueId),
    [first?.queueId],
  );

  // A page, and the one after it.
  const page = await find('--from', 'example.com', '--limit', '4');
  const rest = await find('--from', 'example.com', '--before', page.messages.at(-1)?.queueId ?? '');
  assert.deepEqual([page.more, rest.more], [true, false]);
  assert.deepEqual(
    [...page.messages, ...rest.messages].map(({ queueId }) => queueId),
    ids,
  );

  await one.programs.get('all')?.kill();
  const again = await waitFor(
    async () => {
      const result = await run('queue', 'find', '--from', 'example.com', '--json');
      const { messages, silent } = JSON.parse(result.stdout) as Found;
      return silent.includes('edge-1') ? { result, messages } : undefined;
    },
    { what: 'edge-1 to be missed', timeout: 60_000 },
  );
  assert.equal(again.result.code, 3);
  assert.match(again.result.stderr, /edge-1 was not searched to the end/);
  assert.deepEqual(
    again.messages.map(({ queueId, node, copy }) => [queueId, node, copy]),
    ids.map((id) => [id, 'edge-1', true]),
  );
  const { stdout } = await run('queue', 'find', 'late@dest.test');
  assert.match(stdout, /^NODE +ARRIVED +ID .*\nedge-1 .* late@dest\.test +delivered: 250 /);
  const shown = await run('queue', 'show', late.queueId);
  assert.match(shown.stdout, /state +finished, as the node says that had its second copy/);
  assert.match(
    shown.stdout,
    /ATTEMPT +RECIPIENT[\s\S]*late@dest\.test .*451 4\.2\.0 Try later[\s\S]*late@dest\.test .*250 /,
  );
});
