import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { Announce } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import type { SignerContract } from './contract.ts';
import type { Keyring } from './keyring.ts';

/**
 * Tell the credential-stores each second, and immediately when it changes, which keys this signer has: a rotation waits
 * for every live signer. Returns how to stop.
 */
export function announcePresence(announce: Announce<SignerContract>, node: string, keyring: Keyring): () => void {
  const instance = newId();
  const loop = new AnnounceLoop(() => {
    const { revision, behind, neks } = keyring;
    announce('present', {
      node,
      instance,
      revision,
      time: Date.now(),
      neks: [...neks],
      ...(behind !== undefined && { behind }),
    });
  });
  const stopHearing = keyring.onNews(() => loop.now());
  loop.start(() => {
    // What was read last is announced meanwhile: a process with a slow disk is not dead.
    void keyring.refreshNeks();
    loop.now();
  });
  return () => {
    loop.stop();
    stopHearing();
  };
}
