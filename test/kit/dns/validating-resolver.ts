import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';

/**
 * A resolver that validates with DNSSEC, and BIND behind it with the zones. The keys of signed zones are its trust anchors;
 * a zone without signatures is not proven. It needs `named`, and `unbound` where that is the resolver.
 *
 * `records`: in master-file form (RFC 1035 §5), without SOA and NS. `changed`: what is done to a zone after it was signed.
 */
export type TestZone = {
  name: string;
  records: string;
  signed: boolean;
  changed?: (signed: string) => string;
};

const HEAD = `$TTL 60
@ SOA ns.nameserver.test. hostmaster.nameserver.test. 1 3600 600 86400 30
@ NS ns.nameserver.test.
`;

export class ValidatingResolver implements AsyncDisposable {
  /** As the configuration wants it. */
  readonly server: string;
  readonly #dir: TempDir;
  readonly #programs: Program[] = [];

  private constructor(server: string, dir: TempDir) {
    this.server = server;
    this.#dir = dir;
  }

  static async start(program: 'named' | 'unbound', zones: readonly TestZone[]): Promise<ValidatingResolver> {
    const dir = await tempDir('dnssec');
    const [authority, port] = [await freePort(), await freePort()];
    const resolver = new ValidatingResolver(`127.0.0.1:${port}`, dir);
    try {
      const anchors = await writeZones(dir.path, zones);
      await resolver.#startAuthority(authority, zones);
      const names = zones.map(({ name }) => name);
      if (program === 'named') await resolver.#startNamed(port, authority, { names, anchors });
      else await resolver.#startUnbound(port, authority, { names, anchors });
      return resolver;
    } catch (error) {
      await resolver[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Unbound in front of a server on 127.0.0.1 that has these zones; each with the key that signs it. */
  static async before(server: string, zones: ReadonlyMap<string, string>): Promise<ValidatingResolver> {
    const port = await freePort();
    const resolver = new ValidatingResolver(`127.0.0.1:${port}`, await tempDir('dnssec'));
    try {
      const anchors = [...zones].map(([zone, key]): Anchor => {
        const [, fields = '', data = ''] = /^(\d+ \d+ \d+) (.*)$/.exec(key) ?? [];
        return { zone, key: [fields, data.replaceAll(' ', '')] };
      });
      await resolver.#startUnbound(port, Number(server.split(':')[1]), { names: [...zones.keys()], anchors });
      return resolver;
    } catch (error) {
      await resolver[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #startAuthority(port: number, zones: readonly TestZone[]): Promise<void> {
    const clauses = zones.map(({ name }) => `zone "${name}" { type primary; file "${name}"; };`);
    await this.#named('authority', port, `recursion no; dnssec-validation no; notify no; };\n${clauses.join('\n')}`);
  }

  async #startNamed(port: number, authority: number, { names, anchors }: Known): Promise<void> {
    const keys = anchors.map(({ zone, key: [fields, data] }) => `"${zone}" static-key ${fields} "${data}";`);
    const forwards = names.map((zone) => {
      return `zone "${zone}" { type forward; forward only; forwarders { 127.0.0.1 port ${authority}; }; };`;
    });
    const rest = `trust-anchors { ${keys.join('\n')} };\n${forwards.join('\n')}`;
    await this.#named('resolver', port, `recursion yes; dnssec-validation yes; };\n${rest}`);
  }

  async #named(name: string, port: number, options: string): Promise<void> {
    const file = join(this.#dir.path, `${name}.conf`);
    const config = `options { directory "${this.#dir.path}"; pid-file none; listen-on port ${port} { 127.0.0.1; };
    listen-on-v6 { none; }; empty-zones-enable no; ${options}`;
    await writeFile(file, `${config}\ncontrols { };\n`);
    await this.#run('named', ['-g', '-n', '1', '-c', file], / running$/m);
  }

  async #startUnbound(port: number, authority: number, { names, anchors }: Known): Promise<void> {
    const file = join(this.#dir.path, 'unbound.conf');
    const keys = anchors.map(({ zone, key: [fields, data] }) => `  trust-anchor: "${zone}. DNSKEY ${fields} ${data}"`);
    const stubs = [...names, '.'].map((zone) => `stub-zone:\n  name: "${zone}"\n  stub-addr: 127.0.0.1@${authority}`);
    // Left alone, it answers for .test itself, asks nothing of this machine, and other questions of the Internet.
    await writeFile(
      file,
      `server:
  directory: "${this.#dir.path}"
  chroot: ""
  username: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  do-daemonize: no
  verbosity: 1
  interface: 127.0.0.1@${port}
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  local-zone: "test." nodefault
${keys.join('\n')}
remote-control:
  control-enable: no
${stubs.join('\n')}
`,
    );
    await this.#run('unbound', ['-d', '-c', file], /start of service/);
  }

  async #run(command: string, args: string[], ready: RegExp): Promise<void> {
    const program = new Program(command, args);
    this.#programs.push(program);
    await program.waitForOutput(ready);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program[Symbol.asyncDispose]()));
    await this.#dir[Symbol.asyncDispose]();
  }
}

type Anchor = { zone: string; key: [fields: string, data: string] };
/** What a resolver knows from the start. */
type Known = { names: string[]; anchors: Anchor[] };

async function writeZones(dir: string, zones: readonly TestZone[]): Promise<Anchor[]> {
  const anchors: Anchor[] = [];
  for (const { name, records, signed, changed } of zones) {
    const file = join(dir, name);
    await writeFile(file, `${HEAD}${records}\n`);
    if (signed) anchors.push({ zone: name, key: await sign(dir, name) });
    if (changed === undefined) continue;
    const before = await readFile(file, 'utf8');
    const after = changed(before);
    if (after === before) throw new Error(`zone ${name} was not changed:\n${before}`);
    await writeFile(file, after);
  }
  return anchors;
}

/** Signs a zone; its key as a trust anchor has it. */
async function sign(dir: string, zone: string): Promise<Anchor['key']> {
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: dir, stdio: 'pipe' });
  run('dnssec-keygen', '-q', '-a', 'ECDSAP256SHA256', '-f', 'KSK', zone);
  run('dnssec-signzone', '-q', '-S', '-z', '-o', zone, '-f', zone, zone);
  const key = (await readdir(dir)).find((name) => name.startsWith(`K${zone}.`) && name.endsWith('.key')) ?? '';
  const [, fields = '', data = ''] = / DNSKEY (\d+ \d+ \d+) (.*)$/m.exec(await readFile(join(dir, key), 'utf8')) ?? [];
  return [fields, data.replaceAll(' ', '')];
}
