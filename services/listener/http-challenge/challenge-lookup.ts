import { setTimeout as delay } from 'node:timers/promises';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Calls } from '#services/topology.ts';
import { describeNeks } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import { judgeChallenges } from '#shared/tls/http-challenge.ts';

/** Where a listener looks tokens up: the credential-stores, from which it keeps nothing. */

export type ChallengeLookupDeps = {
  settings: Settings;
  credentials: Pick<Calls<'listener', 'credential-store'>, 'challenge-list'>;
};

/** How long a store may take. */
const ANSWER_MS = 3000;
/** Between two questions: anybody can ask for tokens, and must not load the bus. */
const PAUSE_MS = 250;

export class ChallengeLookup {
  readonly #deps: ChallengeLookupDeps;
  /** The next answer, of a question that has yet to be asked. */
  #next: Promise<ReadonlyMap<string, string>> | undefined;
  #lastAsked = Number.NEGATIVE_INFINITY;

  constructor(deps: ChallengeLookupDeps) {
    this.#deps = deps;
  }

  /**
   * The key authorization of a token, from an answer to a question that was asked after this call. Fails with
   * `nek-mismatch`, as reading the NEKs does, or as a call does.
   */
  async find(token: string): Promise<string | undefined> {
    this.#next ??= this.#ask();
    return (await this.#next).get(token);
  }

  async #ask(): Promise<ReadonlyMap<string, string>> {
    await delay(Math.max(0, this.#lastAsked + PAUSE_MS - performance.now()));
    this.#lastAsked = performance.now();
    this.#next = undefined;
    const { settings, credentials } = this.#deps;
    const neks = await loadTlsNeks(settings.current);
    const nonce = newId();
    const answer = await credentials['challenge-list']({ nonce }, { timeout: ANSWER_MS });
    if (judgeChallenges(neks, nonce, answer) !== 'authentic') {
      const text = `the credential-store of node ${answer.node} did not prove that it has one of the NEKs of tls.nek, ${describeNeks(neks)}: its challenges are not used`;
      throw new SealpostError('nek-mismatch', text);
    }
    return new Map(answer.challenges.map(({ token, value }) => [token, value]));
  }
}
