import type { ClientCertificate } from '#shared/mail/tls.ts';

/** `relay.allow.certificates`, arranged for matching. */
export class CertificateList {
  readonly #entries: ReadonlySet<string>;

  /** `entries`: `sha256:` and hexadecimal digits, or normalized host names. */
  constructor(entries: readonly string[]) {
    this.#entries = new Set(entries);
  }

  /**
   * The entry that is this certificate, whoever issued it: its key is proven to be there. Or the name in it, where an
   * authority of the listener vouches for that.
   */
  match(certificate: ClientCertificate | undefined): string | undefined {
    if (certificate === undefined || this.#entries.size === 0) return undefined;
    const { fingerprint, verified, names = [] } = certificate;
    const itself = `sha256:${fingerprint}`;
    if (this.#entries.has(itself)) return itself;
    return verified ? names.find((name) => this.#entries.has(name)) : undefined;
  }
}
