import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { type AcmeAccount, acmeAccountKey, type CertificateRecord, certificateKey } from './certificate-record.ts';
import type { CredentialRecord } from './domain-record.ts';

/** The replicated records of certificates, beside those of domains. */
export class Certificates {
  readonly #map: ReplicatedMap<CredentialRecord>;

  constructor(map: ReplicatedMap<CredentialRecord>) {
    this.#map = map;
  }

  get(name: string): CertificateRecord | undefined {
    return certificateIn(this.#map.get(certificateKey(name))?.value);
  }

  /** Ordered by name. */
  all(): CertificateRecord[] {
    return this.#map.entries().flatMap(({ value }) => certificateIn(value) ?? []);
  }

  /** Compare-and-set, as `Records.update`; undefined removes the record. */
  async update(
    name: string,
    change: (record: CertificateRecord | undefined) => CertificateRecord | undefined,
  ): Promise<CertificateRecord | undefined> {
    const { value } = await this.#map.update(certificateKey(name), (current) => {
      const record = certificateIn(current);
      const next = change(record);
      if (next === record) return current;
      return next === undefined ? undefined : { kind: 'certificate', ...next };
    });
    return certificateIn(value);
  }

  account(directory: string): AcmeAccount | undefined {
    return accountIn(this.#map.get(acmeAccountKey(directory))?.value);
  }

  accounts(): AcmeAccount[] {
    return this.#map.entries().flatMap(({ value }) => accountIn(value) ?? []);
  }

  /** Compare-and-set of the account at an authority. */
  async updateAccount(
    directory: string,
    change: (account: AcmeAccount | undefined) => AcmeAccount,
  ): Promise<AcmeAccount | undefined> {
    const { value } = await this.#map.update(acmeAccountKey(directory), (current) => {
      const account = accountIn(current);
      const next = change(account);
      return next === account ? current : { kind: 'acme-account', ...next };
    });
    return accountIn(value);
  }
}

const accountIn = (value: CredentialRecord | undefined): AcmeAccount | undefined =>
  value?.kind === 'acme-account' ? value : undefined;

const certificateIn = (value: CredentialRecord | undefined): CertificateRecord | undefined =>
  value?.kind === 'certificate' ? value : undefined;
