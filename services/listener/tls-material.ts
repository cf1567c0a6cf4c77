import { constants, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { hostNames } from '#cluster/certificates/pair.ts';
import type { Config, ListenerConfig } from '#cluster/config/schema/schema.ts';
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

type TlsConfig = Pick<Config, 'tls' | 'listeners'>;
type Files = { certificate: string; key: string };
/** What a client is shown, in PEM and as it is read, and the context made from it. */
export type Material = { pair: Pair; context: SecureContext; certificate: X509Certificate };
type Pair = { cert: string | Buffer; key: string | Buffer };
type Materials = ReadonlyMap<string, Material>;
/** `hosts`: `*` for every name without a certificate of its own. `key`: SHA-256 of its public key in hex. */
export type Presented = { hosts: string[]; names: string[]; key: string; until: number };

/** What a listener asks clients for: the file of the authorities, or the public ones; undefined: for nothing. */
type Asked = ListenerConfig['client-certificates'];

/** Contexts for the listeners that ask clients for the same certificates, or for none. */
export class TlsContexts {
  /** By name of the host, `*` for everyone else; empty without certificates. The map itself stays the same. */
  readonly contexts = new Map<string, SecureContext>();

  contextFor(host: string): SecureContext | undefined {
    const name = normalizeDomain(host);
    // RFC 9525 §6.3: `*` stands for one whole label, the first.
    const wildcard = `*.${name.slice(name.indexOf('.') + 1)}`;
    return this.contexts.get(name) ?? this.contexts.get(wildcard) ?? this.contexts.get('*');
  }
}

/** Its own contexts are those that ask for nothing. */
export class TlsMaterial extends TlsContexts {
  readonly #asking = new Map<string, TlsContexts>();
  /** By the name of their file; '': the public ones. */
  #authorities: ReadonlyMap<string, Buffer | undefined> = new Map();
  readonly #log: Logger;
  #files: Materials = new Map();
  #shared: Materials = new Map();
  #config: TlsConfig | undefined;
  #watched: readonly string[] = [];
  #watch: FileWatch | undefined;

  constructor(log: Logger) {
    super();
    this.#log = log;
  }

  /**
   * The contexts of a listener. They are not shared with one that asks clients for something else: a session that is
   * resumed brings the verdict on its certificate along, and only the context that it began with can open its ticket.
   */
  of(asked: Asked): TlsContexts {
    if (asked === undefined) return this;
    const key = asked.ca ?? '';
    const contexts = this.#asking.get(key) ?? new TlsContexts();
    this.#asking.set(key, contexts);
    return contexts;
  }

  /** What clients are shown: each certificate, and the names that it is given for. */
  presented(): Presented[] {
    const shown = Map.groupBy(this.#all(), ([, { certificate }]) => certificate);
    return [...shown].flatMap(([certificate, entries]) => {
      try {
        const until = certificate.validToDate.getTime();
        const hosts = entries.map(([host]) => host);
        return [{ hosts, names: hostNames(certificate), key: keyDigest(certificate.raw), until }];
      } catch {
        // OpenSSL reads certificates that are not DER to the letter: nobody could say which key such a one has.
        return [];
      }
    });
  }

  /** Load these certificates and watch their files. Throws a `SealpostError` (`tls-material`) and keeps what it has. */
  use(config: TlsConfig): void {
    this.#config = config;
    // Watched even if they cannot be used now: the administrator will put that right.
    this.#follow();
    const { materials, authorities, expired } = load(config);
    if (expired.length > 0) {
      const error = `certificate ${expired.join(', ')}: get a new one`;
      // Better than clear text where there is nothing else, and never in the place of one that is in use.
      if (this.#files.size > 0) throw new SealpostError('tls-material', error);
      this.#log.error({ error }, 'certificate has expired: clients that check it will not deliver');
    }
    this.#files = materials;
    this.#authorities = authorities;
    this.#present();
  }

  /** As `use`, but trouble is logged only. */
  tryUse(config: TlsConfig): void {
    try {
      this.use(config);
      const certificate = config.tls?.certificate;
      if (certificate !== undefined) this.#log.info({ certificate }, 'certificate loaded');
    } catch (error) {
      this.#log.error({ error: errorText(error) }, 'certificate cannot be used: the previous one stays in use');
    }
  }

  /**
   * Those of the cluster from now on, by name of the host; `*` for everyone else. The same ones again, as at each answer of
   * a credential-store, change nothing: a new context cannot open the tickets of sessions that began with another one.
   */
  share(materials: Materials): void {
    const isSame = [...materials].every(([host, material]) => this.#shared.get(host) === material);
    if (isSame && materials.size === this.#shared.size) return;
    this.#shared = materials;
    this.#present();
  }

  close(): void {
    this.#config = undefined;
    this.#follow();
  }

  #present(): void {
    this.contexts.clear();
    const all = this.#all();
    for (const [host, { context }] of all) this.contexts.set(host, context);
    for (const { contexts } of this.#asking.values()) contexts.clear();
    for (const [file, ca] of this.#authorities) {
      const { contexts } = this.of({ ca: file === '' ? undefined : file });
      for (const [host, { pair }] of all) contexts.set(host, askingContext(pair, ca));
    }
  }

  #all(): Materials {
    const standard = this.#shared.get('*') ?? this.#files.get('*');
    return new Map([...this.#shared, ...this.#files, ...(standard === undefined ? [] : [['*', standard] as const])]);
  }

  /** Watch the files that are configured, from now on. */
  #follow(): void {
    const config = this.#config;
    const files = config === undefined ? [] : filesOf(config);
    if (isDeepStrictEqual(files, this.#watched)) return;
    this.#watched = files;
    void this.#watch?.close();
    const again = (): void => {
      if (this.#config !== undefined) this.tryUse(this.#config);
    };
    this.#watch = files.length === 0 ? undefined : new FileWatch(files, again).start();
  }
}

/** The files of the configuration and the hosts that each certificate is for. */
function pairsOf({ tls }: TlsConfig): (Files & { hosts: readonly string[] })[] {
  if (tls === undefined) return [];
  const { certificate, key, names } = tls;
  return [...(certificate === undefined || key === undefined ? [] : [{ certificate, key, hosts: ['*'] }]), ...names];
}

/** Every file that contexts are made from. */
function filesOf(config: TlsConfig): string[] {
  const pairs = pairsOf(config).flatMap(({ certificate, key }) => [certificate, key]);
  return [...pairs, ...authoritiesOf(config).filter((file) => file !== '')];
}

/** The files of the authorities that listeners ask for, each once; '': the public ones. */
function authoritiesOf({ tls, listeners }: TlsConfig): string[] {
  if (tls === undefined) return [];
  const asked = listeners.flatMap((listener) => listener['client-certificates'] ?? []);
  return [...new Set(asked.map(({ ca }) => ca ?? ''))];
}

type Loaded = {
  materials: Map<string, Material>;
  authorities: Map<string, Buffer | undefined>;
  expired: string[];
};

function load(config: TlsConfig): Loaded {
  const materials = new Map<string, Material>();
  const expired: string[] = [];
  for (const { hosts, ...files } of pairsOf(config)) {
    const material = materialOf(files, expired);
    for (const host of hosts) materials.set(host, material);
  }
  const files = authoritiesOf(config);
  const authorities = new Map(files.map((file) => [file, file === '' ? undefined : authoritiesIn(file)]));
  return { materials, authorities, expired };
}

function authoritiesIn(file: string): Buffer {
  const ca = read(file, 'file of authorities');
  attempt(
    () => [new X509Certificate(ca), createSecureContext({ ca })],
    `${file} holds no certificate in PEM form, or one that is damaged`,
  );
  return ca;
}

function materialOf(files: Files, expired: string[]): Material {
  const cert = read(files.certificate, 'certificate');
  const key = read(files.key, 'private key');
  const certificate = attempt(() => new X509Certificate(cert), `${files.certificate} holds no certificate in PEM form`);
  if (Date.parse(certificate.validTo) < Date.now()) {
    expired.push(`${files.certificate} expired on ${certificate.validTo}`);
  }
  const context = attempt(
    () => serverContext({ cert, key }),
    `the private key ${files.key} does not fit the certificate ${files.certificate}, or is not usable`,
  );
  return { pair: { cert, key }, context, certificate };
}

/** RFC 8996: TLS 1.0 and 1.1 are gone. */
const BASICS = { minVersion: 'TLSv1.2', honorCipherOrder: true } as const;

export function serverContext(pair: Pair): SecureContext {
  return createSecureContext({ ...pair, ...BASICS });
}

/** `ca`: the authorities of clients; undefined: the public ones. */
function askingContext(pair: Pair, ca: Buffer | undefined): SecureContext {
  return createSecureContext({
    ...{ ...pair, ...BASICS, ...(ca !== undefined && { ca }) },
    // The certificate of a session is that of its handshake: TLS 1.2 could bring another one later.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    // Without one OpenSSL refuses every client that resumes a session where a certificate was asked for.
    sessionIdContext: 'client-certificates',
  });
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
