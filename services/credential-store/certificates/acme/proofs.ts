import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { HttpChallenge } from '#shared/tls/http-challenge.ts';
import type { AcmeState } from '../../records/certificate-record.ts';
import type { Prove } from './authority.ts';
import { type Challenge, challengeFor, publishChallenge, removeChallenge } from './dns-challenge.ts';
import { awaitListeners, type HttpChallengeDeps } from './http-challenge.ts';

/**
 * The proofs of one order. Each stands in the record of the certificate before it stands anywhere else, and as long as it
 * may: so listeners find it there, and whoever orders next can take a TXT record away that a dead node left.
 */

export type ProofDeps = HttpChallengeDeps & {
  settings: Settings;
  log: Logger;
  /** Change the record, as its claimer. */
  remember: (part: Pick<AcmeState, 'challenges' | 'tokens'>) => Promise<void>;
};

export class Proofs {
  readonly #deps: ProofDeps;
  readonly #certificate: Pick<OrderedCertificate, 'name' | 'acme'>;
  /** The TXT records that may be in DNS. */
  #written: readonly Challenge[];

  /** `left`: the TXT records of orders before this one. */
  constructor(deps: ProofDeps, certificate: Pick<OrderedCertificate, 'name' | 'acme'>, left: readonly Challenge[]) {
    this.#deps = deps;
    this.#certificate = certificate;
    this.#written = left;
  }

  get prove(): Prove {
    return this.#certificate.acme.challenge === 'http-01'
      ? (proof) => this.#byHttp(proof)
      : (proof) => this.#byDns(proof);
  }

  /** Take all TXT records away that may be there. What fails is logged, stays in the record, and is tried again later. */
  async clear(): Promise<void> {
    for (const challenge of this.#written) await this.#takeAway(challenge);
  }

  async #byHttp({ host, token, value }: Parameters<Prove>[0]): ReturnType<Prove> {
    const challenge = HttpChallenge.safeParse({ token, value });
    if (!challenge.success) {
      throw new SealpostError('acme-failed', `the authority gave a token for ${host} that RFC 8555 does not allow`);
    }
    const takeAway = () => this.#deps.remember({ tokens: [] });
    await this.#deps.remember({ tokens: [challenge.data] });
    try {
      await awaitListeners(this.#deps, token);
    } catch (error) {
      await takeAway();
      throw error;
    }
    return takeAway;
  }

  async #byDns({ host, value }: Parameters<Prove>[0]): ReturnType<Prove> {
    const challenge = challengeFor(host, value);
    const before = this.#written;
    await this.#keep([...before.filter((one) => !isSame(one, challenge)), challenge]);
    await publishChallenge(this.#deps.settings.current, challenge, before);
    return () => this.#takeAway(challenge);
  }

  async #takeAway(challenge: Challenge): Promise<void> {
    const { settings, log } = this.#deps;
    try {
      await removeChallenge(settings.current, challenge);
    } catch (error) {
      const fields = { certificate: this.#certificate.name, record: challenge.name, error: errorText(error) };
      log.warn(fields, 'TXT record could not be removed: it is tried again');
      return;
    }
    await this.#keep(this.#written.filter((one) => !isSame(one, challenge)));
  }

  async #keep(written: readonly Challenge[]): Promise<void> {
    this.#written = written;
    await this.#deps.remember({ challenges: [...written] });
  }
}

const isSame = (a: Challenge, b: Challenge): boolean => a.name === b.name && a.value === b.value;
