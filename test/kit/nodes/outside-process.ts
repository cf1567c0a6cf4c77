import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import type { OutsideAnswer, OutsideCall, OutsideView } from './outside.ts';

/** The process of `outside.ts`: a sink at the address and port of its arguments, and the loads that it is told of. */

const [address = '', port = ''] = process.argv.slice(2);
const loads = new Map<string, Load>();

process.on('disconnect', () => process.exit());
process.on('message', (call: OutsideCall) => void answer(call).then((reply) => process.send?.(reply)));
const sink = await Tally.start(Number(port), address);
process.send?.('ready');

async function answer(call: OutsideCall): Promise<OutsideAnswer> {
  try {
    if (call.what === 'load') {
      const load = new Load(call.run, call.options);
      loads.set(call.run, load);
      load.start();
    }
    if (call.what === 'pause') sink.pause();
    if (call.what === 'resume') sink.resume();
    if (call.what === 'stop') await loads.get(call.run)?.stop();
    return { view: view() };
  } catch (error) {
    return { problem: String(error) };
  }
}

function view(): OutsideView {
  const all = [...loads.values()];
  return {
    loads: Object.fromEntries(
      [...loads].map(([run, { accepted, unknown, refused }]) => [
        run,
        { accepted: accepted.size, unknown: unknown.size, refused: Object.fromEntries(refused) },
      ]),
    ),
    messages: sink.messages,
    duplicates: sink.duplicates,
    signatures: [...sink.signatures],
    missing: all.flatMap(({ accepted }) => [...accepted].filter((id) => !sink.arrivals.has(id))),
    strays: [...sink.arrivals.keys()].filter(
      (id) => !all.some(({ accepted, unknown }) => accepted.has(id) || unknown.has(id)),
    ),
  };
}
