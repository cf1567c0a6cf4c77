import { isDeepStrictEqual } from 'node:util';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { Following } from '#cluster/follow/following.ts';
import { allItems } from '#cluster/follow/source.ts';
import type { Calls, Hears } from '#services/topology.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { StoredCertificate } from '#shared/tls/stored-certificate.ts';
import type { ServedCertificate } from '../contract.ts';
import type { TlsMaterial } from '../tls-material.ts';
import { byName, defaultOf, type HeldCertificate, openCertificate } from './held.ts';
import { KeptCopy } from './kept-copy.ts';
import { CertificateSource } from './source.ts';

/**
 * The certificates of the cluster in this process: they follow the credential-stores (cluster/follow/following.ts), and
 * each that is good is used for new handshakes. Their private keys are in clear in the memory of this process alone.
 *
 *   off        no `tls.nek`: nobody is asked. → following
 *   following  what was kept on disk is used first, then what a store answers. → off
 *
 * Of each name one certificate is held:
 *
 *   good material in place of it          → it is used from now on
 *   what does not open, or does not fit   → the one before stays; why is logged and told in `status-show`
 *   expired, or not yet valid             → the same; it is used only where there is none before
 *   no longer in the store                → it is dropped, but the default stays as long as nothing takes its place
 *
 * What could not be used is tried again at each answer, at least every 30 s: a NEK may have been added.
 */
export type SharedCertificatesDeps = {
  settings: Settings;
  log: Logger;
  credentials: Pick<Calls<'listener', 'credential-store'>, 'serving-certificate-list'>;
  onStores: Hears<'listener', 'credential-store'>;
};

export class SharedCertificates {
  readonly #deps: SharedCertificatesDeps;
  readonly #material: TlsMaterial;
  readonly #kept: KeptCopy;
  #held = new Map<string, HeldCertificate>();
  /** Why what the store has under a name is not used. */
  #problems = new Map<string, string>();
  #neks: readonly Nek[] = [];
  #nekProblem: string | undefined;
  #following: Following<StoredCertificate> | undefined;
  #stopHearing: (() => void)[] = [];

  constructor(deps: SharedCertificatesDeps, material: TlsMaterial) {
    this.#deps = deps;
    this.#material = material;
    this.#kept = new KeptCopy(deps.settings.current.node.data, deps.log);
  }

  /**
   * Resolves when there is something to begin with: what was kept, or what a store answers; also where no store does. Never
   * rejects.
   */
  async start(): Promise<void> {
    if (this.#following !== undefined || this.#deps.settings.current.tls?.nek === undefined) return;
    const { node, bus } = this.#deps.settings.current;
    const { credentials, onStores, log } = this.#deps;
    const neks = () => this.#readNeks();
    const source = new CertificateSource({ credentials, node: node.name, alone: bus.servers.length === 0, neks });
    const following = new Following({
      source,
      log,
      adopt: ({ read }) => this.#adopt(allItems(read)),
      failed: () => `certificates could not be fetched: ${this.#held.size} of before stay in use`,
    });
    this.#following = following;
    this.#stopHearing = [
      onStores('changed', (said) => following.changed(said)),
      onStores('present', (said) => {
        source.present(said);
        following.hear(said);
      }),
    ];
    await this.#readNeks();
    this.#take(await this.#kept.read());
    const asked = following.open();
    if (this.#held.size === 0) await asked;
  }

  /** The configuration has changed. */
  async apply(): Promise<void> {
    const { tls } = this.#deps.settings.current;
    if (tls?.nek === undefined) {
      this.#stopFollowing();
      this.#held = new Map();
      this.#problems = new Map();
    } else if (this.#following === undefined) await this.start();
    else this.#following.askSoon();
    this.#use();
  }

  async close(): Promise<void> {
    this.#stopFollowing();
    await this.#kept.close();
  }

  /** For `status-show`; undefined where the cluster's certificates are not used here. */
  status(): { certificates: ServedCertificate[]; behind?: string; neks: string[] } | undefined {
    if (this.#following === undefined) return undefined;
    const standard = this.#default();
    const names = new Set([...this.#held.keys(), ...this.#problems.keys()]);
    const certificates = [...names].toSorted().map((name): ServedCertificate => {
      const held = this.#held.get(name);
      const problem = this.#problems.get(name);
      return {
        name,
        standard: held !== undefined && held === standard,
        ...(held !== undefined && { fingerprint: held.fingerprint }),
        ...(problem !== undefined && { problem }),
      };
    });
    const behind = this.#nekProblem ?? this.#following.behind;
    const neks = this.#neks.map(({ fingerprint }) => fingerprint);
    return { certificates, neks, ...(behind !== undefined && { behind }) };
  }

  #stopFollowing(): void {
    for (const stop of this.#stopHearing) stop();
    this.#stopHearing = [];
    this.#following?.close();
    this.#following = undefined;
  }

  /** What a store has. */
  #adopt(stored: readonly StoredCertificate[]): void {
    const names = new Set(stored.map(({ name }) => name));
    const standard = this.#default();
    for (const [name, held] of this.#held) {
      if (names.has(name)) continue;
      if (held !== standard) this.#held.delete(name);
      else
        this.#problem(name, `the credential-store no longer has it: import or order it again, or choose another one`);
    }
    for (const name of this.#problems.keys())
      if (!names.has(name) && !this.#held.has(name)) this.#problems.delete(name);
    this.#take(stored);
    this.#kept.write([...this.#held.values()].map((held) => held.stored));
  }

  /** Use what is good of these. */
  #take(stored: readonly StoredCertificate[]): void {
    for (const one of stored) {
      const before = this.#held.get(one.name);
      if (before !== undefined && isDeepStrictEqual(before.stored, one)) {
        this.#problems.delete(one.name);
        continue;
      }
      try {
        const { held, late } = openCertificate(one, this.#neks);
        if (late !== undefined) this.#problem(one.name, late);
        if (late !== undefined && before !== undefined) continue;
        this.#held.set(one.name, held);
        if (late === undefined) this.#problems.delete(one.name);
        const { names, fingerprint, until } = held;
        const use = { certificate: one.name, names, fingerprint, until: new Date(until).toISOString() };
        this.#deps.log.info(use, 'certificate of the cluster is used for new sessions');
      } catch (error) {
        this.#problem(one.name, errorText(error));
      }
    }
    this.#use();
  }

  #use(): void {
    this.#material.share(byName([...this.#held.values()], this.#default()));
  }

  #default(): HeldCertificate | undefined {
    return defaultOf([...this.#held.values()], this.#deps.settings.current);
  }

  /** Logged once, until it changes. */
  #problem(name: string, error: string): void {
    if (this.#problems.get(name) === error) return;
    this.#problems.set(name, error);
    const what = this.#held.has(name) ? 'the previous one stays in use' : 'there is none before it';
    this.#deps.log.error({ certificate: name, error }, `certificate of the cluster cannot be used: ${what}`);
  }

  /** As they are now; those of before where they cannot be read. */
  async #readNeks(): Promise<readonly Nek[]> {
    try {
      this.#neks = await loadTlsNeks(this.#deps.settings.current);
      this.#nekProblem = undefined;
    } catch (error) {
      const problem = errorText(error);
      if (problem !== this.#nekProblem)
        this.#deps.log.error({ error: problem }, 'the NEKs of certificates cannot be read');
      this.#nekProblem = problem;
    }
    return this.#neks;
  }
}
