import { parseArgs } from 'node:util';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { DelayLine } from '#test/kit/smtp/delay-line.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Throughput to one destination that is far away, of a whole node and of Postfix, in turn: smtp-source → node or Postfix →
 * a line with a round trip of 100 ms → sink. Messages a second from the first arrival at the sink to the last.
 *
 *   node test/bench/latency.ts [--messages 2000] [--size 10240] [--connections 20] [--round-trip 100] [--rounds 2]
 *
 * It needs root, as Postfix does. The sink pipelines; without and with CHUNKING, which Postfix as a client does not use.
 */
const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '2000' },
    size: { type: 'string', default: '10240' },
    connections: { type: 'string', default: '20' },
    'round-trip': { type: 'string', default: '100' },
    rounds: { type: 'string', default: '2' },
  },
});
const messages = Number(values.messages);

/** What takes mail on a port and sends it on to another one. */
type Router = { port: number } & AsyncDisposable;

async function startNode(sink: number): Promise<Router> {
  const node = await SealpostNode.create({ sink, config: `delivery: { connections: ${values.connections} }` });
  await node.start();
  return node;
}

async function startRelay(sink: number): Promise<Router> {
  const dir = await tempDir('postfix');
  const port = await freePort();
  const settings = `relayhost = [127.0.0.1]:${sink}
mydestination =
local_recipient_maps =
smtp_tls_security_level = none
default_destination_concurrency_limit = ${values.connections}
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
`;
  const postfix = await startPostfix(dir.path, port, settings);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      await postfix[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

async function measure(name: string, start: (sink: number) => Promise<Router>, extensions: string[]): Promise<void> {
  let first = 0;
  let last = 0;
  await using sink = await SmtpSink.start({
    extensions,
    script: ({ verb }) => {
      if (verb !== 'MESSAGE') return undefined;
      last = performance.now();
      first ||= last;
      return undefined;
    },
  });
  await using line = await DelayLine.start(sink.port, Number(values['round-trip']));
  await using router = await start(line.port);
  const options = ['-c', '-m', `${messages}`, '-l', values.size, '-s', '10', '-f', 'a@example.com', '-t', 'b@far.test'];
  await waitFor(
    async () => {
      await using program = new Program('smtp-source', [...options, `127.0.0.1:${router.port}`]);
      return (await program.ended()) === 0;
    },
    { what: `${name} to take the messages`, timeout: 60_000 },
  );
  await waitFor(() => sink.messages.length >= messages, { what: 'the last message', timeout: 600_000 });
  const seconds = (last - first) / 1000;
  const how = extensions.includes('CHUNKING') ? 'with CHUNKING' : 'without CHUNKING';
  process.stdout.write(
    `${name}, ${how}: ${messages} messages in ${seconds.toFixed(1)} s, ${Math.round(messages / seconds)} a second, ` +
      `${line.most} connections at most, ${sink.sessions.length} in all\n`,
  );
}

const OFFERED = ['PIPELINING', 'SIZE 52428800', '8BITMIME'];
for (let round = 0; round < Number(values.rounds); round++) {
  for (const extensions of [OFFERED, [...OFFERED, 'CHUNKING']]) {
    await measure('Postfix', startRelay, extensions);
    await measure('Sealpost', startNode, extensions);
  }
}
