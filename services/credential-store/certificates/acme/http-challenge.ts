import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Calls } from '#services/topology.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';

/**
 * The proof that a name is ours, by HTTP (HTTP-01, RFC 8555 §8.3): listeners answer with what stands in the record of the
 * certificate. services/listener/http-challenge/challenge-server.ts describes the way from here to there.
 */

export type HttpChallengeDeps = {
  map: Pick<ReplicatedMap<unknown>, 'state' | 'revision'>;
  listener: Calls<'credential-store', 'listener'>;
  live: () => Holder[] | undefined;
};

/** How long stores and listeners may take to know a token, and listeners to start: a store of their node starts first. */
const SPREAD_MS = 20_000;
const LOOK_AGAIN_MS = 200;

const NO_LISTENER =
  'no listener answers challenges by HTTP: add http-challenge: { port: 80 } on the nodes that the names lead to';

/**
 * Resolves when every live store has the record that this one has, and a listener finds the token in it. Fails with
 * `acme-failed`.
 */
export async function awaitListeners(deps: HttpChallengeDeps, token: string): Promise<void> {
  const { revision } = deps.map;
  const deadline = performance.now() + SPREAD_MS;
  for (;;) {
    const lacking = lackingStore(deps, revision) ?? (await lackingListener(deps, token));
    if (lacking === undefined) return;
    if (performance.now() > deadline) throw new SealpostError('acme-failed', lacking);
    await delay(LOOK_AGAIN_MS);
  }
}

function lackingStore({ map, live }: HttpChallengeDeps, revision: number): string | undefined {
  if (map.state === 'local') return undefined;
  const late = live()?.find(
    (holder) => holder.kind === 'credential-store' && holder.behind === undefined && holder.revision < revision,
  );
  return late && `the credential-store of node ${late.node} does not have the challenge yet`;
}

async function lackingListener({ listener }: HttpChallengeDeps, token: string): Promise<string | undefined> {
  try {
    const { node, found, problem } = await listener['challenge-check']({ token });
    const why = problem === undefined ? '' : `: ${problem}`;
    return found ? undefined : `the listener of node ${node} does not find the challenge${why}`;
  } catch (error) {
    return errorCode(error) === 'unavailable'
      ? NO_LISTENER
      : `no listener says whether it finds the challenge: ${errorText(error)}`;
  }
}
