import type { Announce } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import type { SignerContract } from './contract.ts';
import type { Keyring } from './keyring.ts';

/** How often a signer says that it is there, in milliseconds. */
const ANNOUNCE_MS = 1000;

/**
 * Tell the credential-stores each second, and at once when it changes, which keys this signer has: a rotation waits for
 * every live signer. Returns the way to stop.
 */
export function announcePresence(announce: Announce<SignerContract>, node: string, keyring: Keyring): () => void {
  const instance = newId();
  const say = (): void => {
    const { revision, behind, neks } = keyring;
    announce('present', {
      node,
      instance,
      revision,
      time: Date.now(),
      neks: [...neks],
      ...(behind !== undefined && { behind }),
    });
  };
  const timer = setInterval(() => {
    // What was read last is said meanwhile: a slow disk makes nobody dead.
    void keyring.refreshNeks();
    say();
  }, ANNOUNCE_MS);
  const stopHearing = keyring.onNews(say);
  say();
  return () => {
    clearInterval(timer);
    stopHearing();
  };
}
