import type { QueueChange } from '#shared/queue/change.ts';
import { envelope, messageOf } from '#test/unit/router/fixture.ts';
import type { Site } from './site.ts';
import type { Known } from './world.ts';

/** What clients and operators do, by chance. Nobody waits for an answer before the next one acts. */

export const DOMAINS = ['a.example', 'b.example', 'c.example', 'paced.example', 'smart.example', 'list.example'];
const VIAS = ['smtp://other.example:25', 'smtp://third.example:25'];
const BY = 'simulation';

/** A client sends a message; what it hears is noted. */
export async function send({ router, world, chance }: Site): Promise<void> {
  const count = chance.is(0.7) ? 1 : 1 + chance.below(5);
  const recipients = Array.from({ length: count }, (_, n) => `user${n}@${chance.of(DOMAINS)}`);
  const reversePath = chance.is(0.15) ? '' : chance.of(['alice@sender.example', 'bob@sender.example']);
  const hold = chance.is(0.04);
  const arrived = Date.now();
  const message = messageOf(chance.is(0.1) ? 3000 : 300);
  try {
    const id = await router.send({ envelope: envelope(recipients, { reversePath }), message, chunk: 1000, hold });
    world.accepted.set(id, { id, arrived, reversePath, recipients, held: hold, removed: false, via: undefined });
    world.count('accepted');
    world.note(`accepted ${id} from <${reversePath}> to ${recipients.join()}${hold ? ', held' : ''}`);
  } catch {
    world.count('not accepted');
  }
}

/** One operator gives one command about some mail. */
export async function change(site: Site): Promise<void> {
  const { world, chance } = site;
  const operation = chance.of<QueueChange>([
    'retry',
    'retry',
    'hold',
    'hold',
    'release',
    'release',
    'remove',
    'bounce',
    'reroute',
    'reroute',
  ]);
  const via = operation === 'reroute' ? chance.of([...VIAS, 'route']) : undefined;
  if (chance.is(0.3)) {
    const domain = chance.of(DOMAINS);
    const meant = [...world.accepted.values()].filter(({ recipients }) =>
      recipients.some((one) => one.endsWith(domain)),
    );
    for (const known of meant) doubt(known, operation);
    await give(site, { operation, via, filter: { domain } });
    return;
  }
  const all = [...world.accepted.values()];
  if (all.length === 0) return;
  // What came lately is rather in the queue.
  const known = all[Math.max(0, all.length - 1 - Math.floor(chance.between(0, 6) ** 2))];
  if (known === undefined) return;
  doubt(known, operation);
  const token = {};
  latest.set(known, token);
  const count = await give(site, { operation, via, filter: { ids: [known.id] } });
  // Of two commands under way, nobody knows which one came last.
  if (count !== 1 || latest.get(known) !== token) return;
  if (operation === 'hold') known.held = true;
  if (operation === 'release') known.held = false;
  if (operation === 'remove' || operation === 'bounce') known.removed = true;
  if (operation === 'reroute') known.via = via === 'route' ? undefined : via;
}

/** The last command about a message, and about the suspension of a domain. */
const latest = new WeakMap<Known, object>();
const last = new Map<string, object>();

function doubt(known: Known, operation: QueueChange): void {
  latest.delete(known);
  if (operation === 'hold' || operation === 'release') known.held = undefined;
  if (operation === 'remove' || operation === 'bounce') known.removed = undefined;
  if (operation === 'reroute') known.via = 'unknown';
}

type Command = {
  operation: QueueChange;
  via?: string | undefined;
  filter: { ids?: string[]; domain?: string; state?: 'hold' };
};

/** All pages of a command; how many messages it has changed. */
export async function give({ router, world }: Site, command: Command): Promise<number> {
  const handler = router.service.handlers['queue-change'];
  world.note(`${command.operation} ${JSON.stringify(command.filter)} ${command.via ?? ''}`);
  let count = 0;
  try {
    for (let after: string | undefined, until: number | undefined; ; ) {
      const page = await handler({ ...command, by: BY, dryRun: false, after, until }, router.context());
      count += page.count;
      ({ next: after, until } = page);
      if (after === undefined) break;
    }
  } catch {
    return -1;
  }
  world.count(command.operation);
  world.note(`done: ${command.operation} ${JSON.stringify(command.filter)}, ${count}`);
  return count;
}

/** An operator suspends or redirects the mail of a domain, or ends that. */
export async function direct({ router, world, chance }: Site): Promise<void> {
  const { handlers } = router.service;
  const name = chance.of(DOMAINS);
  const kind = chance.of(['suspend', 'redirect'] as const);
  const subject = { kind, about: 'domain', name } as const;
  world.note(`${kind} ${name}`);
  const token = {};
  if (kind === 'suspend') {
    world.suspended.delete(name);
    last.set(name, token);
  }
  try {
    if (chance.is(0.5)) {
      await handlers['directive-end']({ ...subject, by: BY }, router.context());
      return;
    }
    const via = kind === 'redirect' ? chance.of(VIAS) : undefined;
    const forMs = chance.delay(60_000, 600_000);
    const { directive } = await handlers['directive-set']({ ...subject, by: BY, via, forMs }, router.context());
    world.count(kind);
    if (kind === 'suspend' && last.get(name) === token) world.suspended.set(name, directive.until);
    world.note(`done: ${kind} ${name} until ${directive.until}`);
  } catch {
    // None was in force, or the store failed.
  }
}

/** Let all go that is kept back. */
export async function letGo(site: Site): Promise<void> {
  const { handlers } = site.router.service;
  site.world.suspended.clear();
  const { directives } = await handlers['directive-list']({}, site.router.context());
  for (const { kind, about, name, ended } of directives)
    if (ended !== true)
      await Promise.resolve(handlers['directive-end']({ kind, about, name, by: BY }, site.router.context())).catch(
        () => undefined,
      );
  for (const known of site.world.accepted.values()) known.held = undefined;
  // By their ids: a filter leaves mail alone that arrived later, as the clock of its arrival said.
  const held = await handlers['message-list']({ state: 'hold', limit: 500 }, site.router.context());
  const ids = held.entries.map(({ queueId }) => queueId);
  if (ids.length > 0) await give(site, { operation: 'release', filter: { ids } });
}
