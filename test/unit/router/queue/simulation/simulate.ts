import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import { change, direct, letGo, send } from './operators.ts';
import { EXPIRE_MS, ROUTES, Site } from './site.ts';
import { type Known, MOODS } from './world.ts';

/**
 * One run: clients, operators, hosts, a disk and a clock do what they like for half an hour, and the router crashes; then
 * nothing is in the way any more, and all mail has to end as it should. The same seed gives the same run.
 */

export type Simulated = { violations: string[]; counts: Map<string, number>; story: string[] };

const MINUTE_MS = 60_000;
/** Longer than a slow host, a back-off and a retry; shorter than what is looked at although nothing woke it (waits.ts). */
const END_MS = 480_000;

export async function simulate(seed: number, folder: string): Promise<Simulated> {
  const site = await Site.open(folder, seed);
  const { time, world, chance } = site;
  const end = chance.between(10 * MINUTE_MS, 40 * MINUTE_MS);
  let oldest = Date.now();
  while (time.now < end && world.violations.length === 0) {
    await act(site);
    await time.runUntil(time.now + chance.delay(1500, MINUTE_MS));
    oldest = Math.max(oldest, Date.now());
  }
  await ending(site, oldest + END_MS);
  site.crash();
  const { violations, counts, story } = world;
  return { violations, counts, story };
}

async function act(site: Site): Promise<void> {
  const { chance, world, time, store } = site;
  const what = chance.between(0, 100);
  if (what < 40) for (let n = chance.below(4); n >= 0; n--) void send(site);
  else if (what < 60) mood(site);
  else if (what < 82) void change(site);
  else if (what < 88) void direct(site);
  else if (what < 91) site.reload(chance.below(ROUTES.length));
  else if (what < 93) {
    world.note('the store fails');
    world.count('store failed');
    store.fail();
    time.after(chance.delay(3000, 30_000), () => store.mend());
  } else if (what < 96) {
    site.crash();
    await site.start();
  } else if (what < 98) {
    await site.stop();
    await site.start();
  } else {
    const step = chance.of([-1, 1]) * chance.delay(60_000, EXPIRE_MS);
    world.note(`clock ${step}`);
    world.count('clock stepped');
    // By the other time a directive may be over, or not be over yet.
    world.suspended.clear();
    site.clock.wall += step;
  }
}

function mood({ chance, world }: Site): void {
  if (world.hosts.length === 0) return;
  const key = chance.of(world.hosts);
  const next = chance.of(MOODS);
  world.host(key).mood = next;
  world.count(next);
  world.note(`${key} ${next}`);
}

/** Nothing is in the way any more: what is left in the queue must end soon. */
async function ending(site: Site, latest: number): Promise<void> {
  const { time, world, router, store } = site;
  world.note('healed');
  world.heal();
  store.mend();
  const until = time.now + END_MS;
  let left = await queued(site);
  while (left.length > 0 && time.now < until && world.violations.length === 0) {
    await site.until(letGo(site), 'the end of all holds');
    await time.runUntil(time.now + 20_000);
    left = await queued(site);
  }
  if (world.violations.length > 0) return;
  for (const entry of left) world.violated(`is left in the queue: ${describe(entry)}`);
  const { damaged = [] } = await site.until(router.status(), 'the status');
  if (damaged.length > 0) world.violated(`is damaged: ${JSON.stringify(damaged)}`);
  if (left.length === 0) for (const known of world.accepted.values()) await check(site, known, latest);
}

async function queued(site: Site): Promise<QueueEntry[]> {
  const { router } = site;
  const handler = router.service.handlers['message-list'];
  const listed = Promise.resolve(handler({ limit: 500 }, router.context()));
  return (await site.until(listed, 'the list')).entries;
}

function describe({ queueId, state, recipients }: QueueEntry): string {
  return `${queueId} ${state} ${recipients.map(({ status }) => JSON.stringify(status)).join(' ')}`;
}

async function check(site: Site, known: Known, latest: number): Promise<void> {
  const { router, world } = site;
  const shown = await site.until(
    router.show(known.id).catch(() => undefined),
    'a receipt',
  );
  if (shown?.finished !== true) {
    world.violated(`${known.id} is lost`);
    return;
  }
  const { recipients, notices = [] } = shown.entry;
  const states = recipients.map(({ status }) => status.state);
  world.checkEnd(known, states, latest - known.arrived >= EXPIRE_MS);
  const isTold = notices.some(({ kind }) => kind === 'failed');
  const failed = states.some((state) => state === 'failed' || state === 'expired');
  if (failed && known.reversePath !== '' && known.removed === false && !isTold)
    world.violated(`${known.id} failed, and its sender was not told`);
  for (const { queueId } of notices) {
    world.count('notice');
    const notice = await site.until(
      router.show(queueId).catch(() => undefined),
      'a notice',
    );
    if (notice?.finished !== true) world.violated(`the notice ${queueId} about ${known.id} is lost`);
  }
}
