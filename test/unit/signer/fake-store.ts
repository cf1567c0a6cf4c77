import type { CredentialStoreContract } from '#services/credential-store/contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { generateKey } from '#services/credential-store/making/generate-key.ts';
import type { Announce, Service } from '#shared/contract.ts';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import { proveKeyList } from '#shared/dkim/list-proof.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm, SigningKey } from '#shared/keys/key.ts';

/** What a signer sees of a credential-store: the keys that the test puts into it, announced at every change. */
export class FakeCredentialStore {
  readonly keys: SigningKey[] = [];
  readonly service: Service<CredentialStoreContract>;
  readonly #nek: Nek;
  readonly #announce: Announce<CredentialStoreContract>;
  readonly #node: string;
  revision = 0;
  /** Code of the error that it answers with. */
  failure: ErrorCode | undefined;

  constructor(node: string, nek: Nek, announce: Announce<CredentialStoreContract>) {
    this.#node = node;
    this.#nek = nek;
    this.#announce = announce;
    const signingKeyList = ({ nonce = '' }: { nonce?: string }) => {
      if (this.failure !== undefined) throw new SealpostError(this.failure, `the store of ${node} does not answer`);
      const list = { node, revision: this.revision, keys: this.keys };
      return { ...list, macs: proveKeyList([nek], nonce, list) };
    };
    // Whatever else the contract has is none of a signer's business.
    const handlers = new Proxy(
      { 'signing-key-list': signingKeyList } as unknown as Service<CredentialStoreContract>['handlers'],
      {
        get: (given, operation) =>
          Reflect.get(given, operation) ??
          (() => {
            throw new Error(`a signer asked for ${String(operation)}`);
          }),
      },
    );
    const nothing = async (): Promise<void> => undefined;
    this.service = { contract: credentialStoreContract, handlers, start: nothing, stop: nothing };
  }

  async create(domain: string, selector: string, algorithm: KeyAlgorithm, state: SigningKey['state'] = 'active') {
    const { privateKey, publicKey, fingerprint } = await generateKey(algorithm);
    const id = { domain, selector, algorithm };
    const key = { ...id, state, created: 0, fingerprint, publicKey, wrapped: wrapKey(this.#nek, id, privateKey) };
    this.keys.push(key);
    this.changed();
    return key;
  }

  remove(selector: string): void {
    const at = this.keys.findIndex((k) => k.selector === selector);
    this.keys.splice(at, 1);
    this.changed();
  }

  /** The same changes as another one. */
  follow(other: FakeCredentialStore): void {
    this.keys.splice(0, this.keys.length, ...other.keys);
    this.changed(other.revision);
  }

  changed(revision = this.revision + 1): void {
    this.revision = revision;
    this.#announce('changed', { node: this.#node, revision: this.revision });
  }
}
