import type { Settings } from '#cluster/config/settings.ts';
import type { Calls, Hears } from '#services/topology.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { Announce, Service } from '#shared/contract.ts';
import type { KeyName } from '#shared/dkim/key-name.ts';
import { signProof } from '#shared/dkim/prove.ts';
import { dkimRecordName } from '#shared/dkim/record.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type SignerContract, type SignerStatus, type SignOutcome, signerContract } from './contract.ts';
import { type AnyKey, Keyring } from './keyring.ts';
import { signatures } from './metrics.ts';
import { announcePresence } from './presence.ts';
import { signMessage } from './sign.ts';

/**
 * Signs mail with the keys of its author's domain (DKIM, RFC 6376, RFC 8463). Owns the unwrapped private keys, which are
 * never written and never leave the process.
 *
 *   contract.ts        what it can be asked; this file answers
 *   keyring.ts         the keys that this process holds; key-source.ts fetches them, unwrap.ts opens them
 *   sign.ts            a message → signed, or the reason why not
 *   author.ts          the author's domain; plan.ts: which keys sign for it
 *   header-hash.ts     which header fields are signed, and their canonical form
 *   dkim-signature.ts  one DKIM-Signature field; the algorithms are in shared/dkim/algorithms.ts
 *   presence.ts        tells the credential-stores which keys this process has
 */
export type SignerDeps = {
  settings: Settings;
  log: Logger;
  credentials: Calls<'signer', 'credential-store'>;
  onStores: Hears<'signer', 'credential-store'>;
  announce: Announce<SignerContract>;
};

export function createSignerService(deps: SignerDeps): Service<SignerContract> {
  const keyring = new Keyring(deps);
  const node = deps.settings.current.node.name;
  let stopAnnouncing = (): void => undefined;
  return {
    contract: signerContract,
    async start() {
      await keyring.open();
      stopAnnouncing = announcePresence(deps.announce, node, keyring);
    },
    async stop() {
      stopAnnouncing();
      keyring.close();
    },
    handlers: {
      async 'message-sign'({ queueId, bodyHash, reversePath }, { bytes, trace }) {
        const request = { bodyHash, reversePath, header: bytes };
        const outcome = await signMessage(request, deps.settings.current.domains, keyring);
        signatures.inc({ outcome: outcome.outcome });
        report(deps.log, outcome, { queueId, trace });
        return outcome;
      },
      async 'key-prove'({ domain, selector, challenge }) {
        const key = heldKey(keyring, node, { domain: normalizeDomain(domain), selector: selector.toLowerCase() });
        return { node, fingerprint: key.fingerprint, signature: await proofOf(key, challenge) };
      },
      'status-show': () => statusOf(keyring, node),
    },
  };
}

function statusOf(keyring: Keyring, node: string): SignerStatus {
  const { loaded, revision, upToDate, store, behind } = keyring;
  return {
    node,
    loaded,
    revision,
    keys: keyring.signing().filter((k) => k.usable).length,
    upToDate,
    unusable: keyring
      .all()
      .flatMap((k) => (k.usable ? [] : [{ domain: k.domain, selector: k.selector, reason: k.reason }])),
    ...(store !== undefined && { store }),
    ...(behind !== undefined && { behind }),
  };
}

/** A key whatever its state. Fails with `not-held`. */
function heldKey(keyring: Keyring, node: string, name: KeyName): AnyKey {
  const key = keyring.held(name.domain, name.selector);
  if (key !== undefined) return key;
  const revision = keyring.loaded ? `its keys are of revision ${keyring.revision}` : 'its keys are not loaded yet';
  throw new SealpostError('not-held', `the signer of node ${node} has no key ${dkimRecordName(name)}: ${revision}`);
}

/** Fails with `unusable`. */
async function proofOf(key: AnyKey, challenge: string): Promise<string> {
  if (!key.usable) throw new SealpostError('unusable', key.reason);
  try {
    return await signProof(key, challenge);
  } catch (error) {
    throw new SealpostError('unusable', `the key ${dkimRecordName(key)} cannot sign: ${errorText(error)}`);
  }
}

function report(log: Logger, outcome: SignOutcome, mail: { queueId: string; trace: string | undefined }): void {
  switch (outcome.outcome) {
    case 'signed':
      log.debug({ ...mail, keys: outcome.keys }, 'signed');
      break;
    case 'not-configured':
      break;
    case 'unsigned':
      log.info({ ...mail, domain: outcome.domain, error: outcome.reason }, MESSAGES.unsigned);
      break;
    case 'hold':
    case 'refuse':
      log.warn({ ...mail, domain: outcome.domain, error: outcome.reason }, MESSAGES[outcome.outcome]);
      break;
  }
}

const MESSAGES = {
  unsigned: 'mail leaves without a signature',
  hold: 'mail is held until it can be signed',
  refuse: 'mail can never be signed and is returned to its sender',
} as const;
