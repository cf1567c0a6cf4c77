import type { Reply } from '#shared/mail/reply.ts';
import type { CertificateVerdict, Protection } from '#shared/mail/tls.ts';
import { HostUnusable } from '../smtp/errors.ts';
import type { PeerSession, SeenHandshake } from '../smtp/session.ts';
import type { Attempt, Ladder, Rung } from './ladder.ts';
import type { Target, Wanted } from './wanted.ts';

/** A look at one host, by the steps that mail for it would take. */

/** What a host would get. `session`: the step that did, and its TLS; undefined: the host would not be used. */
export type Probed = {
  target: Target;
  wanted: Wanted;
  /** Steps that did not do, in their order. */
  failures: { rung: Rung; reply: Reply; certificate: CertificateVerdict | undefined }[];
  session: { rung: Rung; protection: Protection } | undefined;
  /** The last handshake that came about, also where its certificate would not do. */
  handshake: SeenHandshake | undefined;
};

/** Take a step; rejects with `HostUnusable`. */
export type OpenProbe = (
  attempt: Attempt,
  onHandshake: (handshake: SeenHandshake) => void,
) => Promise<Pick<PeerSession, 'connection' | 'protection'>>;

export async function probe(ladder: Ladder, target: Target, open: OpenProbe): Promise<Probed> {
  let attempt: Attempt | undefined = ladder.first(target);
  const probed: Probed = { target, wanted: attempt.wanted, failures: [], session: undefined, handshake: undefined };
  while (attempt !== undefined) {
    const { rung }: Attempt = attempt;
    try {
      const { connection, protection } = await open(attempt, (handshake) => {
        probed.handshake = handshake;
      });
      connection.quit();
      return { ...probed, session: { rung, protection } };
    } catch (error) {
      if (!(error instanceof HostUnusable)) throw error;
      probed.failures.push({ rung, reply: error.reply, certificate: error.tls?.certificate });
      attempt = ladder.next(attempt, error);
    }
  }
  return probed;
}
