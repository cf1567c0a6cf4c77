import type { Config } from '#cluster/config/schema/schema.ts';
import { NOT_FOUND, type SmallAnswer, SmallServer } from '#cluster/serving/small-server.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { HttpChallenge } from '#shared/tls/http-challenge.ts';
import { ChallengeLookup, type ChallengeLookupDeps } from './challenge-lookup.ts';

/**
 * Answers authorities that want the proof by HTTP that a name is ours (HTTP-01, RFC 8555 §8.3):
 * `GET /.well-known/acme-challenge/<token>`. Everything else is 404.
 *
 * The name may lead to any node, and a credential-store of any node drives the order. So the key authorization stands in
 * the replicated record of the certificate as long as the authority may ask for it, and a listener asks a store for what
 * is there (`challenge-list`) whenever it is asked for a token:
 *
 *   1. the store that drives the order writes the record
 *   2. it waits until every live store has it, and asks a listener by `challenge-check` whether it finds it: so the error
 *      where no listener serves HTTP comes from us, not from the authority
 *   3. it calls the authority, which asks listeners; each asks any store, all of which have it by now
 *   4. it takes it out of the record
 *
 * Listeners keep nothing: none can miss a token, or know it for longer than the order lives, and one that has just started
 * is as good as another. What strangers ask for costs the bus a few questions a second at most (challenge-lookup.ts). The
 * answer of a store is proven by a NEK (shared/tls/http-challenge.ts).
 *
 * States: closed → `apply` with a section `http-challenge` → serving → `apply` without one, or `stop` → closed. Another
 * address or port is another socket.
 */

const PREFIX = '/.well-known/acme-challenge/';

export type ChallengeServerDeps = ChallengeLookupDeps & { log: Logger };

export class ChallengeServer {
  readonly #deps: ChallengeServerDeps;
  readonly #lookup: ChallengeLookup;
  readonly #trouble = new LimitedLog();
  #place: string | undefined;
  #server: SmallServer | undefined;

  constructor(deps: ChallengeServerDeps) {
    this.#deps = deps;
    this.#lookup = new ChallengeLookup(deps);
  }

  /** Undefined while nothing is served. */
  get port(): number | undefined {
    return this.#server?.port;
  }

  /** Serve what this configuration says. Rejects with `listen-failed`. */
  async apply(config: Config): Promise<void> {
    const section = config['http-challenge'];
    const place = section && JSON.stringify([section.address, section.port]);
    if (place !== undefined && this.#server !== undefined && place === this.#place) return;
    await this.stop();
    if (section === undefined) return;
    const { log } = this.#deps;
    const { address, port } = section;
    this.#server = await SmallServer.open({
      ...{ log, address, port },
      what: 'challenges of ACME',
      byClient: parseIp(address)?.range() !== 'loopback',
      answer: ({ url = '' }) => this.#answer(url),
    });
    this.#place = place;
    log.info({ address, port: this.#server.port }, 'challenges of ACME served');
  }

  /** Whether it would answer with the key authorization of this token, for `challenge-check`. Fails with `unavailable`. */
  async check(token: string): Promise<{ found: boolean; problem?: string }> {
    if (this.#server === undefined)
      throw new SealpostError('unavailable', 'this listener serves no challenges of ACME');
    try {
      return { found: (await this.#lookup.find(token)) !== undefined };
    } catch (error) {
      return { found: false, problem: errorText(error) };
    }
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#trouble.close();
    await server?.close();
  }

  async #answer(url: string): Promise<SmallAnswer> {
    const token = url.startsWith(PREFIX) ? url.slice(PREFIX.length) : '';
    if (!HttpChallenge.shape.token.safeParse(token).success) return NOT_FOUND;
    try {
      const body = await this.#lookup.find(token);
      return body === undefined ? NOT_FOUND : { code: 200, body, type: 'application/octet-stream' };
    } catch (error) {
      const text = errorText(error);
      this.#trouble.say(text, (repeated) =>
        this.#deps.log.warn({ error: text, ...repeated }, 'challenge of ACME not answered'),
      );
      return { code: 503 };
    }
  }
}
