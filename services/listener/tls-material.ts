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
 * The certificates that listeners present, and the contexts made from them: those of the files of the configuration, and
 * those that the cluster shares (certificates/). Files that change are read again; what cannot be used is reported and
 * what was in use stays, so bad material never replaces good.
 *
 * Which one a client gets: by the name that it asks for (SNI), of `tls.names`, then of the cluster; else, `*`, the default
 * of the cluster, and that of the files where the cluster has none. A new context is for new handshakes; sessions keep
 * theirs.
 */

type TlsConfig = NonNullable<Config['tls']>;
type Files = { certificate: string; key: string };
/** What a client is shown, and the context made from it. */
export type Material = { context: SecureContext; certificate: X509Certificate };
type Materials = ReadonlyMap<string, Material>;
/** `hosts`: `*` for every name without a certificate of its own. `key`: SHA-256 of its public key in hex. */
export type Presented = { hosts: string[]; key: string; until: number };

export class TlsMaterial {
  /** By name of the host, `*` for everyone else; empty without certificates. The map itself stays the same. */
  readonly contexts = new Map<string, SecureContext>();
  readonly #log: Logger;
  #files: Materials = new Map();
  #shared: Materials = new Map();
  #config: TlsConfig | undefined;
  #watched: readonly string[] = [];
  #watch: FileWatch | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  contextFor(host: string): SecureContext | undefined {
    const name = normalizeDomain(host);
    // RFC 9525 §6.3: `*` stands for one whole label, the first.
    const wildcard = `*.${name.slice(name.indexOf('.') + 1)}`;
    return this.contexts.get(name) ?? this.contexts.get(wildcard) ?? this.contexts.get('*');
  }

  /** What clients are shown: each certificate, and the names that it is given for. */
  presented(): Presented[] {
    const shown = Map.groupBy(this.#all(), ([, { certificate }]) => certificate);
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
    const { materials, expired } = load(config);
    if (expired.length > 0) {
      const error = `certificate ${expired.join(', ')}: get a new one`;
      // Better than clear text where there is nothing else, and never in the place of one that is in use.
      if (this.#files.size > 0) throw new SealpostError('tls-material', error);
      this.#log.error({ error }, 'certificate has expired: clients that check it will not deliver');
    }
    this.#files = materials;
    this.#present();
  }

  /** As `use`, but trouble is logged only. */
  tryUse(config: TlsConfig | undefined): void {
    try {
      this.use(config);
      if (config?.certificate !== undefined) this.#log.info({ certificate: config.certificate }, 'certificate loaded');
    } catch (error) {
      this.#log.error({ error: errorText(error) }, 'certificate cannot be used: the previous one stays in use');
    }
  }

  /** Those of the cluster from now on, by name of the host; `*` for everyone else. */
  share(materials: Materials): void {
    this.#shared = materials;
    this.#present();
  }

  close(): void {
    this.#config = undefined;
    this.#follow();
  }

  #present(): void {
    this.contexts.clear();
    for (const [host, { context }] of this.#all()) this.contexts.set(host, context);
  }

  #all(): Materials {
    const standard = this.#shared.get('*') ?? this.#files.get('*');
    return new Map([...this.#shared, ...this.#files, ...(standard === undefined ? [] : [['*', standard] as const])]);
  }

  /** Watch the files that are configured, from now on. */
  #follow(): void {
    const config = this.#config;
    const files = pairsOf(config).flatMap(({ certificate, key }) => [certificate, key]);
    if (isDeepStrictEqual(files, this.#watched)) return;
    this.#watched = files;
    void this.#watch?.close();
    this.#watch = files.length === 0 ? undefined : new FileWatch(files, () => this.tryUse(this.#config)).start();
  }
}

/** The files of the configuration and the hosts that each certificate is for. */
function pairsOf(config: TlsConfig | undefined): (Files & { hosts: readonly string[] })[] {
  if (config === undefined) return [];
  const { certificate, key, names } = config;
  return [...(certificate === undefined || key === undefined ? [] : [{ certificate, key, hosts: ['*'] }]), ...names];
}

type Loaded = { materials: Map<string, Material>; expired: string[] };

function load(config: TlsConfig | undefined): Loaded {
  const materials = new Map<string, Material>();
  const expired: string[] = [];
  for (const { hosts, ...files } of pairsOf(config)) {
    const material = materialOf(files, expired);
    for (const host of hosts) materials.set(host, material);
  }
  return { materials, expired };
}

function materialOf(files: Files, expired: string[]): Material {
  const cert = read(files.certificate, 'certificate');
  const key = read(files.key, 'private key');
  const certificate = attempt(() => new X509Certificate(cert), `${files.certificate} holds no certificate in PEM form`);
  if (Date.parse(certificate.validTo) < Date.now()) {
    expired.push(`${files.certificate} expired on ${certificate.validTo}`);
  }
  const context = attempt(
    () => serverContext(cert, key),
    `the private key ${files.key} does not fit the certificate ${files.certificate}, or is not usable`,
  );
  return { context, certificate };
}

/** RFC 8996: TLS 1.0 and 1.1 are gone. */
export function serverContext(cert: string | Buffer, key: string | Buffer): SecureContext {
  return createSecureContext({ cert, key, minVersion: 'TLSv1.2', honorCipherOrder: true });
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
