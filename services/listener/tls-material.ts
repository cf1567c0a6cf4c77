import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '#cluster/config/schema/schema.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { keyDigest } from '#shared/certificate.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The certificates that listeners present, and the contexts made from them. Files that change are read again; what cannot
 * be used is reported and what was in use stays, so bad material never replaces good.
 */

type TlsConfig = NonNullable<Config['tls']>;
type Files = { certificate: string; key: string };
/** `hosts`: `*` for every name without a certificate of its own. `key`: SHA-256 of its public key in hex. */
export type Presented = { hosts: string[]; key: string; until: number };

export class TlsMaterial {
  /** By name of the host, `*` for everyone else; empty without certificates. The map itself stays the same. */
  readonly contexts = new Map<string, SecureContext>();
  /** The certificate of each of them. */
  #certificates: ReadonlyMap<string, X509Certificate> = new Map();
  readonly #log: Logger;
  #config: TlsConfig | undefined;
  #watched: readonly string[] = [];
  #watch: FileWatch | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  contextFor(host: string): SecureContext | undefined {
    return this.contexts.get(normalizeDomain(host)) ?? this.contexts.get('*');
  }

  /** What clients are shown: each certificate, and the names that it is given for. */
  presented(): Presented[] {
    const shown = Map.groupBy(this.#certificates, ([, certificate]) => certificate);
    return [...shown].flatMap(([certificate, entries]) => {
      try {
        const until = certificate.validToDate.getTime();
        return [{ hosts: entries.map(([host]) => host), key: keyDigest(certificate.raw), until }];
      } catch {
        // OpenSSL reads certificates that are not DER to the letter: nobody could say which key such a one has.
        return [];
      }
    });
  }

  /** Load these certificates and watch their files. Throws a `SealpostError` (`tls-material`) and keeps what it has. */
  use(config: TlsConfig | undefined): void {
    this.#config = config;
    // Watched even if they cannot be used now: the administrator will put that right.
    this.#follow();
    const { contexts, certificates, expired } = load(config);
    if (expired.length > 0) {
      const error = `certificate ${expired.join(', ')}: get a new one`;
      // Better than clear text where there is nothing else, and never in the place of one that is in use.
      if (this.contexts.size > 0) throw new SealpostError('tls-material', error);
      this.#log.error({ error }, 'certificate has expired: clients that check it will not deliver');
    }
    this.contexts.clear();
    for (const [host, context] of contexts) this.contexts.set(host, context);
    this.#certificates = certificates;
  }

  /** As `use`, but trouble is logged only. */
  tryUse(config: TlsConfig | undefined): void {
    try {
      this.use(config);
      if (config !== undefined) this.#log.info({ certificate: config.certificate }, 'certificate loaded');
    } catch (error) {
      this.#log.error({ error: errorText(error) }, 'certificate cannot be used: the previous one stays in use');
    }
  }

  close(): void {
    this.#config = undefined;
    this.#follow();
  }

  /** Watch the files that are configured, from now on. */
  #follow(): void {
    const config = this.#config;
    const pairs: Files[] = config === undefined ? [] : [config, ...config.names];
    const files = pairs.flatMap((pair) => [pair.certificate, pair.key]);
    if (isDeepStrictEqual(files, this.#watched)) return;
    this.#watched = files;
    void this.#watch?.close();
    this.#watch = files.length === 0 ? undefined : new FileWatch(files, () => this.tryUse(this.#config)).start();
  }
}

type Loaded = {
  contexts: Map<string, SecureContext>;
  certificates: Map<string, X509Certificate>;
  expired: string[];
};

function load(config: TlsConfig | undefined): Loaded {
  const contexts = new Map<string, SecureContext>();
  const certificates = new Map<string, X509Certificate>();
  const expired: string[] = [];
  const add = (files: Files, hosts: readonly string[]): void => {
    const { context, certificate } = contextOf(files, expired);
    for (const host of hosts) {
      contexts.set(host, context);
      certificates.set(host, certificate);
    }
  };
  if (config !== undefined) add(config, ['*']);
  for (const entry of config?.names ?? []) add(entry, entry.hosts);
  return { contexts, certificates, expired };
}

function contextOf(files: Files, expired: string[]): { context: SecureContext; certificate: X509Certificate } {
  const cert = read(files.certificate, 'certificate');
  const key = read(files.key, 'private key');
  const certificate = attempt(() => new X509Certificate(cert), `${files.certificate} holds no certificate in PEM form`);
  if (Date.parse(certificate.validTo) < Date.now()) {
    expired.push(`${files.certificate} expired on ${certificate.validTo}`);
  }
  const context = attempt(
    // RFC 8996: TLS 1.0 and 1.1 are gone.
    () => createSecureContext({ cert, key, minVersion: 'TLSv1.2', honorCipherOrder: true }),
    `the private key ${files.key} does not fit the certificate ${files.certificate}, or is not usable`,
  );
  return { context, certificate };
}

function read(file: string, what: string): Buffer {
  return attempt(() => readFileSync(file), `the ${what} ${file} cannot be read`);
}

function attempt<T>(work: () => T, problem: string): T {
  try {
    return work();
  } catch (cause) {
    throw new SealpostError('tls-material', problem, { cause });
  }
}
