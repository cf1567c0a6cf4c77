import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { type Sent, send } from '#test/bench/authenticity/load.ts';
import { makeMail, type Sample, serve } from '#test/bench/authenticity/mail.ts';
import { costs } from '#test/bench/authenticity/steps.ts';
import { FakeDns } from '#test/kit/dns/fake-dns.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * What one node takes of incoming mail whose SPF, DKIM and DMARC it checks, with what DNS says in its cache: messages a second
 * and processor time a message, without the checks and with them, turn by turn; then the time of each step by itself.
 *
 *   node test/bench/authenticity.ts [--seconds 10] [--rounds 2] [--sessions 20] [--size 10240] [--domains 50]
 *
 * The load is a process of its own, on the same machine; mail ends at the route `discard`. The goal for one node is 1,000 a
 * second. What else runs on the machine takes its part: so the load average is printed too.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '2' },
    sessions: { type: 'string', default: '20' },
    size: { type: 'string', default: '10240' },
    domains: { type: 'string', default: '50' },
  },
});
const [seconds, rounds, sessions, size, domains] = (['seconds', 'rounds', 'sessions', 'size', 'domains'] as const).map(
  (name) => Number(values[name]),
) as [number, number, number, number, number];

if (process.send === undefined) await measure();
else {
  process.once(
    'message',
    async ({ port, samples, seconds: time }: { port: number; samples: Sample[]; seconds: number }) => {
      process.send?.(await send(port, samples, { sessions, seconds: time }));
      process.disconnect();
    },
  );
}

async function measure(): Promise<void> {
  const { samples, records } = await makeMail(domains, size);
  await using dns = await FakeDns.start(serve(records));
  console.log(
    `${domains} domains, messages of ${size} bytes, ${sessions} sessions, ${seconds} s a run; ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}`,
  );
  for (let round = 0; round < rounds; round++) for (const check of [false, true]) await run(check, samples, dns);
  const resolver = new DnsResolver({ servers: [dns.server], timeout: 5000 });
  for (const { step, micros } of await costs(samples, resolver, 40))
    console.log(`${micros.toFixed(0).padStart(6)} µs  ${step}`);
}

async function run(check: boolean, samples: readonly Sample[], dns: FakeDns): Promise<void> {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({
    config: [
      `dns: { servers: ["${dns.server}"] }`,
      'relay: { allow: { hosts: [], domains: [dest.test, probe.test] } }',
      `authenticity: { check: ${check} }`,
      `routes: [{ to: probe.test, via: "smtp://127.0.0.1:${sink.port}" }, { to: "*", via: discard }]`,
      'log: { level: warn }',
    ].join('\n'),
  });
  const program = node.launch();
  await waitFor(() => probe(node.port, samples[0], sink, check), { timeout: 30_000, what: 'a message to pass' });
  await load(node.port, samples, 3);
  const [before, questions] = [await processorMs(program.pid), dns.queries.length];
  const { accepted, refused } = await load(node.port, samples, seconds);
  const ms = (await processorMs(program.pid)) - before;
  console.log(
    `${check ? 'checked    ' : 'not checked'}: ${Math.round(accepted / seconds)} a second, ${(ms / accepted).toFixed(2)} ms of processor each, ` +
      `${((dns.queries.length - questions) / accepted).toFixed(3)} questions each ${Object.keys(refused).length > 0 ? JSON.stringify(refused) : ''}`,
  );
}

/** One message through the node: whether its results are there, and all are `pass`. */
async function probe(port: number, sample: Sample | undefined, sink: SmtpSink, check: boolean): Promise<boolean> {
  if (sample === undefined) return false;
  const { accepted } = await send(port, [sample], { sessions: 1, seconds: 0.01, to: 'reader@probe.test' });
  if (accepted === 0) return false;
  const { data } = await waitFor(() => sink.messages[0], { what: 'the message at the sink' });
  const text = data.toString('latin1');
  if (!check) return true;
  for (const result of ['spf=pass ', 'dkim=pass ', 'dmarc=pass '])
    if (!text.includes(result)) throw new Error(`no ${result} in ${text.slice(0, 2000)}`);
  return true;
}

async function load(port: number, samples: readonly Sample[], time: number): Promise<Sent> {
  const child = fork(import.meta.filename, process.argv.slice(2));
  child.send({ port, samples, seconds: time });
  const [sent] = (await once(child, 'message')) as [Sent];
  return sent;
}

/** User and system time of a process (proc(5)), whose ticks are 10 ms on every Linux. */
async function processorMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
