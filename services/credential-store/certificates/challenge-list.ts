import { loadTlsNeks } from '#cluster/config/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { proveChallenges } from '#shared/tls/http-challenge.ts';
import type { CertificateDeps, CertificateOperation } from './deps.ts';

/** What a listener answers authorities that ask for a token (services/listener/http-challenge/). */
export const challengeList: CertificateOperation<'challenge-list'> = async (deps, { nonce }) => {
  const { certificates, map, settings } = deps;
  if (map.state !== 'local' && map.state !== 'following') {
    throw new SealpostError('not-caught-up', 'this node has yet to catch up with the others');
  }
  const neks = await readNeks(deps);
  const challenges = certificates.all().flatMap(({ acme }) => acme?.tokens ?? []);
  return { node: settings.current.node.name, challenges, macs: proveChallenges(neks, nonce, challenges) };
};

/** Fails with `no-nek`. */
async function readNeks({ settings }: CertificateDeps) {
  try {
    return await loadTlsNeks(settings.current);
  } catch (error) {
    throw new SealpostError('no-nek', `node ${settings.current.node.name}: ${errorText(error)}`);
  }
}
