import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { Hears } from '#services/topology.ts';
import type { Announce } from '#shared/contract.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { CredentialStoreContract } from './contract.ts';
import type { OperationDeps } from './operations/deps.ts';
import type { Presence } from './presence.ts';
import { behindOf } from './records/behind.ts';

/** What this process and the others announce: that they are there, what they hold, what changed. */

export type AnnouncementDeps = {
  announce: Announce<CredentialStoreContract>;
  /** What the credential-stores of all nodes announce, this one included. */
  onStores: Hears<'credential-store', 'credential-store'>;
  onSigners: Hears<'credential-store', 'signer'>;
  onPolicies: Hears<'credential-store', 'policy'>;
};

/** The NEKs in the configuration of this node as it is now. */
export type ReadNeks = () => Promise<Nek[]>;

export function listenToPresence(deps: AnnouncementDeps, presence: Presence): () => void {
  const stops = [
    deps.onStores('present', (present) => presence.hear('credential-store', present)),
    deps.onSigners('present', (present) => presence.hear('signer', present)),
    deps.onPolicies('present', (present) => presence.hearPolicy(present)),
  ];
  return () => stops.forEach((stop) => void stop());
}

/** Announce this process each second and at every change, and announce changes to the signers. */
export function announcePresence(
  { announce }: AnnouncementDeps,
  { settings, log, map, directory, records, presence }: OperationDeps,
  readNeks: ReadNeks,
): () => void {
  let fingerprints: string[] = [];
  const loop = new AnnounceLoop(() =>
    announce('present', {
      node: settings.current.node.name,
      instance: presence.instance,
      revision: records.revision,
      time: Date.now(),
      neks: fingerprints,
      seals: true,
      directory: directory.revision,
      ...behindOf(map),
    }),
  );
  let reading = false;
  const readFingerprints = async (): Promise<void> => {
    if (reading) return;
    reading = true;
    const before = fingerprints.join();
    try {
      fingerprints = (await readNeks()).map((nek) => nek.fingerprint);
    } catch (error) {
      // Nothing changes for the others; the operation that needs a NEK reports what is wrong with it.
      log.debug({ error: errorText(error) }, 'the named encryption keys could not be read');
    } finally {
      reading = false;
    }
    if (fingerprints.join() !== before) loop.now();
  };
  loop.start(() => {
    // What was read last is announced meanwhile: a process with a slow disk is not dead.
    void readFingerprints();
    loop.now();
  });
  const stopHearing = map.onChange(() => {
    announce('changed', { node: settings.current.node.name, revision: records.revision });
    loop.now();
  });
  return () => {
    loop.stop();
    stopHearing();
  };
}

/** Announce each change of the directory to policy. */
export function announceDirectory({ announce }: AnnouncementDeps, { settings, directory }: OperationDeps): () => void {
  return directory.onChange(() =>
    announce('directory-changed', { node: settings.current.node.name, revision: directory.revision }),
  );
}
