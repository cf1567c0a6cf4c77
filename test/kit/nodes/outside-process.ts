import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { VerifyingSink } from '#test/kit/smtp/verifying-sink.ts';
import type { OutsideAnswer, OutsideCall, OutsideView } from './outside.ts';

/**
 * The process of `outside.ts`: a sink at the address and port of its arguments, and the loads that it is told of. A third
 * argument is the name server by which the sink verifies what arrives.
 */

const [address = '', port = '', nameServer] = process.argv.slice(2);
const loads = new Map<string, Load>();
/** Of each load: what it had when it was last looked at, when that last changed, and the longest time without a change. */
const pauses = new Map<string, { seen: number; since: number; longest: number }>();
setInterval(watch, 50).unref();

process.on('disconnect', () => process.exit());
process.on('message', (call: OutsideCall) => void answer(call).then((reply) => process.send?.(reply)));
const sink =
  nameServer === undefined
    ? await Tally.start(Number(port), address)
    : await VerifyingSink.start([nameServer], 2, { port: Number(port), host: address });
process.send?.('ready');

async function answer(call: OutsideCall): Promise<OutsideAnswer> {
  try {
    if (call.what === 'load') {
      const load = new Load(call.run, call.options);
      loads.set(call.run, load);
      pauses.set(call.run, { seen: 0, since: performance.now(), longest: 0 });
      load.start();
    }
    if (call.what === 'pause' || call.what === 'resume') {
      if (!(sink instanceof Tally)) throw new Error('this sink cannot be paused');
      sink[call.what]();
    }
    if (call.what === 'stop') await loads.get(call.run)?.stop();
    watch();
    const seen = view();
    for (const pause of pauses.values()) pause.longest = 0;
    return { view: seen };
  } catch (error) {
    return { problem: String(error) };
  }
}

function watch(): void {
  const now = performance.now();
  for (const [run, pause] of pauses) {
    pause.longest = Math.max(pause.longest, now - pause.since);
    const size = loads.get(run)?.accepted.size ?? 0;
    if (size === pause.seen) continue;
    Object.assign(pause, { seen: size, since: now });
  }
}

function view(): OutsideView {
  const all = [...loads.values()];
  return {
    loads: Object.fromEntries(
      [...loads].map(([run, { accepted, unknown, refused }]) => [
        run,
        {
          accepted: accepted.size,
          unknown: unknown.size,
          refused: Object.fromEntries(refused),
          longestPause: pauses.get(run)?.longest ?? 0,
        },
      ]),
    ),
    messages: sink.messages,
    duplicates: sink.duplicates,
    signatures: [...sink.signatures],
    missing: all.flatMap(({ accepted }) => [...accepted].filter((id) => !sink.arrivals.has(id))),
    strays: [...sink.arrivals.keys()].filter(
      (id) => !all.some(({ accepted, unknown }) => accepted.has(id) || unknown.has(id)),
    ),
    bad: sink instanceof VerifyingSink ? sink.bad.map(({ id, at, verdicts }) => ({ id, at, verdicts })) : [],
  };
}
