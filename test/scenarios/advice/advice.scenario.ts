import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Administrator } from './administrator.ts';
import { AdviceSite } from './site.ts';
import { ALONE, DELIVERY, SIGNING, type State } from './states.ts';

/**
 * For each state in which mail waits: what Sealpost says of it, followed literally, lets the mail go.
 *
 * Not here, because what helps is a decision of somebody else, or cannot be had on a machine of a test:
 *   DANE and MTA-STS        the recipient's domain mends its records (delivery/dane, delivery/tls-policy have the mail leave)
 *   TLS that a message asks for   its sender chose that; a route to another host is a choice (router/delivery/forced-tls)
 *   a full or broken disk   needs a file system of its own (router/store/full-disk has the mail leave when there is room)
 *   a lease that is lost    needs a cluster without a majority, whose return is the cure (scenarios/bus/partition)
 *   a NEK that is missing   its line is a secret that is copied by hand (credential-store/neks)
 *   a message that is damaged     there is nothing left to send (docs/diagnose/damage.md)
 *   LDAP that is away       as a mail filter that is (policy/directory/ldap)
 *   no route                no configuration leads to it: without a route mail goes by MX
 */

/**
 * How long mail may take to leave once the cause is gone: trouble of our own is tried again within 30 s, and what DNS did not
 * say is asked again after as long.
 */
const LEAVES_MS = 90_000;
/** How often the administrator asks again. */
const ROUNDS = 3;
/** Before that, what was done has this time to take effect. */
const ROUND_MS = 9000;

test('advice that leads on', { ...needs('nats-server', 'named', 'nsupdate'), timeout: 600_000 }, async (t) => {
  await using site = await AdviceSite.start();
  const run = (name: string, states: Record<string, State>, concurrency: number): Promise<unknown> =>
    t.test(name, { concurrency }, async (group) => {
      await Promise.all(Object.entries(states).map(([what, state]) => group.test(what, () => follow(site, state))));
    });
  await run('signing', SIGNING, 3);
  await run('delivery', DELIVERY, 2);
  await run('one after the other', ALONE, 1);
});

async function follow(site: AdviceSite, state: State): Promise<void> {
  const { from = 'a@far.test', to, arrives = to, ask = (id: string) => ['why', id] } = state;
  const node = state.onTwo ? site.parts.two : site.parts.one;
  await state.before?.(site);
  const say = (): Promise<string> =>
    site.say(from, to, { node, ...(state.client !== undefined && { localAddress: state.client }) });
  let id = from;
  if (state.client === undefined) id = await site.send(from, to, node);
  else assert.match(await say(), /^4/);
  await state.after?.(site, id);
  await site.becomes(id, state.cause);
  assert.equal(site.arrived(arrives), undefined);

  const { configFile, folder } = site.parts.one;
  const administrator = new Administrator({
    ...{ configFile, folder, outside: state.outside?.(site) ?? [] },
    about: new RegExp([id, ...(state.about === undefined ? [] : [state.about.source])].join('|')),
    start: (services) => site.parts.one.start(...services),
  });
  const left = async (timeout: number): Promise<boolean> => {
    const isThere = async (): Promise<boolean> => {
      if (state.client !== undefined && site.arrived(arrives) === undefined) await say();
      return site.arrived(arrives) !== undefined;
    };
    return await waitFor(isThere, { timeout, what: 'the mail' }).catch(() => false);
  };
  for (let round = 1; round <= ROUNDS; round++) {
    await administrator.ask(ask(id));
    if (await left(round === ROUNDS ? LEAVES_MS : ROUND_MS)) break;
  }
  const told = administrator.done.join('\n');
  assert.ok(site.arrived(arrives), `the mail does not leave:\n${told}`);
  assert.deepEqual(administrator.undone, [], `the advice does not ask for it:\n${told}`);
  if (state.from?.startsWith('a@') === true && state.cause === 'key-missing')
    assert.match(site.arrived(arrives)?.data.toString() ?? '', /^DKIM-Signature:/m);
}
