import type { Settings } from '#cluster/settings.ts';
import type { CredentialStoreContract } from '#services/credential-store/contract.ts';
import { type SignerContract, type SignOutcome, signerContract } from '#services/signer/contract.ts';
import { Keyring } from '#services/signer/keyring.ts';
import { signMessage } from '#services/signer/sign.ts';
import type { Client, Listen, Service } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';

/** Signs mail with the keys of its author's domain. Holds the private keys (`keyring.ts`) and nothing else. */
export type SignerDeps = {
  settings: Settings;
  log: Logger;
  credentials: Client<CredentialStoreContract>;
  onChanged: Listen<CredentialStoreContract>;
};

export function createSignerService(deps: SignerDeps): Service<SignerContract> {
  const keyring = new Keyring(deps);
  return {
    contract: signerContract,
    start: () => keyring.open(),
    async stop() {
      keyring.close();
    },
    handlers: {
      async sign({ queueId, bodyHash, reversePath }, { bytes, trace }) {
        const request = { bodyHash, reversePath, header: bytes };
        const outcome = await signMessage(request, deps.settings.current.domains, keyring);
        report(deps.log, outcome, { queueId, trace });
        return outcome;
      },

      status() {
        const keys = keyring.all();
        return {
          loaded: keyring.loaded,
          revision: keyring.revision,
          keys: keys.filter((k) => k.usable).length,
          upToDate: keyring.upToDate,
          unusable: keys.flatMap((k) =>
            k.usable ? [] : [{ domain: k.domain, selector: k.selector, reason: k.reason }],
          ),
        };
      },
    },
  };
}

function report(log: Logger, outcome: SignOutcome, mail: { queueId: string; trace: string | undefined }): void {
  switch (outcome.outcome) {
    case 'signed':
      log.debug({ ...mail, keys: outcome.keys }, 'signed');
      break;
    case 'not-configured':
      break;
    case 'unsigned':
      log.info({ ...mail, domain: outcome.domain, reason: outcome.reason }, SAID.unsigned);
      break;
    case 'hold':
    case 'refuse':
      log.warn({ ...mail, domain: outcome.domain, reason: outcome.reason }, SAID[outcome.outcome]);
      break;
  }
}

const SAID = {
  unsigned: 'mail goes out without a signature',
  hold: 'mail is kept until it can be signed',
  refuse: 'mail can never be signed and is returned',
} as const;
