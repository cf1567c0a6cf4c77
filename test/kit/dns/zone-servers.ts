import { randomBytes } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DnsConfig, ZoneConfig } from '#cluster/config/schema/schema.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The keys that may update the zones: all have the same secret. */
const KEYS = {
  sealpost: 'hmac-sha256',
  'sealpost-1': 'hmac-sha1',
  'sealpost-224': 'hmac-sha224',
  'sealpost-384': 'hmac-sha384',
  'sealpost-512': 'hmac-sha512',
} as const;
const KEY = 'sealpost';
type Algorithm = (typeof KEYS)[keyof typeof KEYS];

/** The name of the key that signs with an algorithm. */
export const keyFor = (algorithm: Algorithm): string =>
  Object.entries(KEYS).find(([, own]) => own === algorithm)?.[0] ?? KEY;

type ZoneServersParts = {
  ports: number[];
  secret: string;
  dir: TempDir;
  zones: string[];
  programs: Program[];
  signed: boolean;
};

/**
 * Zones as they stand in the world: a BIND primary that takes updates signed with the key `sealpost` (hmac-sha256) or
 * one of another algorithm, and secondaries that it notifies; server 0 is the primary, and each has a free port of
 * 127.0.0.1. A zone's text is its records in master-file form (RFC 1035 §5), without SOA and NS. `signed`: the primary signs
 * what it has, and each update (DNSSEC).
 */
export class ZoneServers implements AsyncDisposable {
  /** `127.0.0.1:5301` …, the primary first. */
  readonly servers: string[];
  /** Of the update key, in base64. */
  readonly secret: string;
  readonly #dir: TempDir;
  readonly #zones: string[];
  readonly #programs: Program[];
  readonly #signed: boolean;
  readonly #lagging = new Set<number>();

  private constructor({ ports, secret, dir, zones, programs, signed }: ZoneServersParts) {
    this.servers = ports.map((port) => `127.0.0.1:${port}`);
    this.secret = secret;
    this.#dir = dir;
    this.#zones = zones;
    this.#programs = programs;
    this.#signed = signed;
  }

  static async start(zones: Record<string, string>, { secondaries = 1, signed = false } = {}): Promise<ZoneServers> {
    const dir = await tempDir('zones');
    const secret = randomBytes(32).toString('base64');
    const names = Object.keys(zones);
    const all = Array.from({ length: secondaries + 1 }, (_, n) => n);
    // named cannot pick a port itself, and needs it for UDP and TCP: another try when the port was taken meanwhile.
    for (let attempt = 1; ; attempt++) {
      const programs: Program[] = [];
      const ports = await Promise.all(all.map(() => freePort()));
      const servers = new ZoneServers({ ports, secret, dir, zones: names, programs, signed });
      try {
        for (const n of all) await servers.#prepare(n, zones);
        programs.push(...all.map((n) => servers.#launch(n)));
        await Promise.all(programs.map(running));
        await Promise.all(all.map((n) => servers.#loaded(n)));
        return servers;
      } catch (error) {
        await Promise.all(programs.map((program) => program[Symbol.asyncDispose]()));
        if (attempt < 3) continue;
        await dir[Symbol.asyncDispose]();
        throw error;
      }
    }
  }

  /** An entry of `dns.zones` by which a zone may be updated, and is proven at all servers. */
  zone(name = this.#zones[0] ?? ''): ZoneConfig & { update: NonNullable<ZoneConfig['update']> } {
    const [server = ''] = this.servers;
    const update = { server, key: KEY, algorithm: 'hmac-sha256' as const, secret: new Secret(this.secret) };
    return { name, servers: this.servers, update };
  }

  /** `dns` of a configuration with all zones. */
  dns(): DnsConfig {
    const zones = this.#zones.map((name) => this.zone(name));
    return { servers: this.servers.slice(0, 1), timeout: 3000, dnssec: false, zones };
  }

  /** The same as text of sealpost.yaml: `dns: …` on one line. */
  yaml(): string {
    const zones = this.dns().zones.map((zone) => ({ ...zone, update: { ...zone.update, secret: this.secret } }));
    return `dns: ${JSON.stringify({ servers: this.dns().servers, timeout: '3s', zones })}\n`;
  }

  /** The TXT records that server n has at a name, each joined; none: an empty list. */
  async txt(n: number, name: string): Promise<string[]> {
    const resolver = new Resolver({ timeout: 1000, tries: 2 });
    resolver.setServers([this.servers[n] ?? '']);
    try {
      return (await resolver.resolveTxt(name)).map((strings) => strings.join('')).toSorted();
    } catch (error) {
      if (['ENOTFOUND', 'ENODATA'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    }
  }

  /** Resolves when every server, or those named, has exactly these TXT records at a name. */
  async settled(name: string, records: readonly string[], at = this.servers.map((_, n) => n)): Promise<void> {
    const wanted = JSON.stringify(records.toSorted());
    for (const n of at) {
      await waitFor(async () => JSON.stringify(await this.txt(n, name)) === wanted, {
        timeout: 10_000,
        what: `${wanted} at ${name} on server ${n}`,
      });
    }
  }

  /**
   * Change the primary by nsupdate(1), with lines such as `add a.example.com. 60 TXT "x"`; `key: ''` is unsigned.
   * Returns what it complains of.
   */
  async nsupdate(lines: readonly string[], key = `hmac-sha256:${KEY}:${this.secret}`): Promise<string> {
    const script = join(this.#dir.path, `update-${randomBytes(4).toString('hex')}`);
    await writeFile(script, [`server 127.0.0.1 ${this.#port(0)}`, ...lines, 'send', ''].join('\n'));
    const program = new Program('nsupdate', [...(key === '' ? [] : ['-y', key]), script]);
    return (await program.ended()) === 0 ? '' : program.output;
  }

  /** The key that a zone is signed with, as a trust anchor has it. */
  async dnskey(zone: string): Promise<string> {
    const dir = join(this.#dir.path, '0');
    const name = (await readdir(dir)).find((file) => file.startsWith(`K${zone}.+`) && file.endsWith('.key')) ?? '';
    const [, key = ''] = / DNSKEY (.*)$/m.exec(await readFile(join(dir, name), 'utf8')) ?? [];
    return key;
  }

  /** From now on secondary n gets no changes; it goes on answering with what it has. */
  async lag(n: number): Promise<void> {
    this.#lagging.add(n);
    await this.#reconfigure();
  }

  /** Secondary n gets what it missed, within about a second. */
  async catchUp(n: number): Promise<void> {
    this.#lagging.delete(n);
    await this.#reconfigure();
  }

  /** Server n takes questions and answers none. */
  async pause(n: number): Promise<void> {
    await this.#programs[n]?.pause();
  }

  resume(n: number): void {
    this.#programs[n]?.resume();
  }

  /** Ports of server n refuse. */
  async stop(n: number): Promise<void> {
    await this.#programs[n]?.stop();
  }

  /** Come back on the same address after `stop`, with the zones as they were. */
  async restart(n: number): Promise<void> {
    this.#programs[n] = this.#launch(n);
    await running(this.#programs[n] as Program);
    await this.#loaded(n);
  }

  /** The log of server n. */
  output(n: number): string {
    return this.#programs[n]?.output ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program[Symbol.asyncDispose]()));
    await this.#dir[Symbol.asyncDispose]();
  }

  #port(n: number): string {
    return this.servers[n]?.split(':')[1] ?? '';
  }

  #launch(n: number): Program {
    return new Program('named', ['-g', '-n', '1', '-c', join(this.#dir.path, `${n}`, 'named.conf')]);
  }

  async #loaded(n: number): Promise<void> {
    const resolver = new Resolver({ timeout: 500, tries: 1 });
    resolver.setServers([this.servers[n] ?? '']);
    for (const zone of this.#zones) {
      await waitFor(() => resolver.resolveSoa(zone), { timeout: 10_000, what: `zone ${zone} on server ${n}` });
    }
  }

  async #prepare(n: number, zones: Record<string, string>): Promise<void> {
    const dir = join(this.#dir.path, `${n}`);
    await mkdir(dir, { recursive: true });
    for (const [i, [name, records]] of Object.entries(zones).entries()) {
      if (n === 0) await writeFile(join(dir, `zone-${i}`), zoneText(name, records));
    }
    await this.#writeConfig(n);
  }

  /** Let only those secondaries that do not lag transfer the zones. */
  async #reconfigure(): Promise<void> {
    const printed = this.output(0).length;
    await this.#writeConfig(0);
    this.#programs[0]?.signal('SIGHUP');
    await this.#programs[0]?.waitForOutput(/reloading configuration succeeded/, 10_000, printed);
    await this.#programs[0]?.waitForOutput(/reloading zones succeeded/, 10_000, printed);
  }

  async #writeConfig(n: number): Promise<void> {
    const dir = join(this.#dir.path, `${n}`);
    const secondaries = this.servers.map((_, i) => i).slice(1);
    const transferKeys = secondaries.filter((s) => !this.#lagging.has(s)).map((s) => `key transfer-${s};`);
    const clause =
      n === 0
        ? `type primary; ${this.#signed ? 'dnssec-policy default; ' : ''}allow-update { ${Object.keys(KEYS)
            .map((key) => `key ${key};`)
            .join(' ')} }; notify explicit; notify-delay 0;
  also-notify { ${secondaries.map((s) => `127.0.0.1 port ${this.#port(s)};`).join(' ')} };
  allow-transfer { ${transferKeys.join(' ') || 'none;'} };`
        : `type secondary; primaries { 127.0.0.1 port ${this.#port(0)} key transfer-${n}; }; notify no;
  min-refresh-time 1; max-refresh-time 2; min-retry-time 1; max-retry-time 1;`;
    const keys = [...Object.entries(KEYS), ...secondaries.map((s) => [`transfer-${s}`, 'hmac-sha256'])];
    await writeFile(
      join(dir, 'named.conf'),
      `${keys.map(([key, algorithm]) => `key ${key} { algorithm ${algorithm}; secret "${this.secret}"; };`).join('\n')}
options {
  directory "${dir}";
  listen-on port ${this.#port(n)} { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion no;
  dnssec-validation no;
  empty-zones-enable no;
  check-names primary ignore;
};
controls { };
${this.#zones.map((name, i) => `zone "${name}" { ${clause} file "zone-${i}"; };`).join('\n')}
`,
    );
  }
}

async function running(program: Program): Promise<void> {
  await program.waitForOutput(/ running$/m);
  if (/could not listen|address in use/i.test(program.output)) throw new Error(program.output);
}

function zoneText(name: string, records: string): string {
  return `$ORIGIN ${name}.\n$TTL 1\n@ SOA ns hostmaster 1 2 1 86400 1\n@ NS ns\nns A 127.0.0.1\n${records}\n`;
}
