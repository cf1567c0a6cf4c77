import { openTransitions } from '#services/credential-store/life/next-transition.ts';
import { runningRotation } from '#services/credential-store/records/record-change.ts';
import { giveOrder, publishByHand, resumeAll } from './admin.ts';
import { Cluster } from './cluster.ts';
import { breakSomething, healEverything } from './faults.ts';
import { Invariants } from './invariants.ts';
import { EPOCH } from './node.ts';

/**
 * One run: nodes with their drivers, administrators and faults for two minutes, all by chance; then nothing is broken
 * any more, and every obstacle must have gone with it. `story` has the changes of the log, to find the cause.
 */
export async function simulate(
  seed: number,
): Promise<{ violations: string[]; counts: Map<string, number>; story: () => string }> {
  const cluster = new Cluster(seed);
  const checks = new Invariants(cluster);
  const { time, chance } = cluster;
  const times: number[] = [];
  cluster.log.onEntry(() => times.push(time.now));
  cluster.start();
  const trouble = chance.between(60_000, 120_000);
  repeat(cluster, 400, 900, () => cluster.nodes.forEach((node) => void checks.sign(node)));
  repeat(cluster, 1000, 7000, () => time.now < trouble && void giveOrder(cluster, checks));
  repeat(cluster, 1000, chance.of([6000, 20_000]), () => time.now < trouble && breakSomething(cluster, trouble));
  repeat(cluster, 500, 3000, () => publishByHand(cluster, time.now < trouble ? 0.2 : 1));
  await time.runUntil(trouble);
  healEverything(cluster);
  repeat(cluster, 5000, 5000, () => void resumeAll(cluster));
  for (let rest = 20_000; rest <= 300_000; rest += 20_000) {
    await time.runUntil(trouble + rest);
    if (unfinished(cluster).length === 0) break;
  }
  for (const what of unfinished(cluster)) checks.violated(`at the end ${what}`);
  await cluster.close();
  const story = (): string => tell(cluster, times);
  return { violations: checks.violations, counts: checks.counts, story };
}

function repeat({ time, chance }: Cluster, low: number, high: number, act: () => void): void {
  time.after(chance.between(low, high), () => {
    act();
    repeat({ time, chance } as Cluster, low, high, act);
  });
}

/** What should not be left when nothing is in the way. */
function unfinished({ log, time, domains }: Cluster): string[] {
  const now = EPOCH + time.now;
  return log.all().flatMap((record) => {
    const { domain } = record;
    // Selectors that other keys keep for good are no fault of the schedule.
    const starved = domains.get(domain)?.by === 'cname';
    const transitions = openTransitions(record).filter(({ kind, dueAt = 0 }) =>
      kind === 'rotate' ? !starved && dueAt < now : kind !== 'deleted' || dueAt < now,
    );
    const open = transitions.map(({ kind, selectors }) => `${selectors.join(', ')} of ${domain} waits for ${kind}`);
    return runningRotation(record) === undefined ? open : [...open, `the rotation of ${domain} has not ended`];
  });
}

function tell({ log }: Cluster, times: number[]): string {
  const lines = log.entries.map(({ domain, before, after, writer }, i) => {
    const keys = after.keys.map((k) => {
      const was = before?.keys.find((b) => b.selector === k.selector);
      const mark = was?.state === k.state ? '' : '*';
      return `${k.selector}:${k.state}${mark}${k.problem === undefined ? '' : `(${k.problem.text})`}`;
    });
    const { rotation, driver } = after;
    const how = rotation?.ended?.how ?? (rotation?.switched ? 'switched' : rotation?.frozen ? 'frozen' : 'running');
    const turn = rotation === undefined ? '' : ` [${rotation.from}→${rotation.to} ${how}]`;
    const who = `${writer.life} ${writer.role}${writer.forced ? '!' : ''} term ${driver?.term ?? '-'}`;
    return `${Math.round(times[i] ?? 0)} ${domain} by ${who}:${turn} ${keys.join(' ')}`;
  });
  return lines.join('\n');
}
