import { Resolver } from 'node:dns/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * BIND as the authoritative server of some zones, on 127.0.0.1 and a free port. It answers nothing else: names
 * outside its zones are REFUSED. A zone's text is its records in master-file form (RFC 1035 §5); SOA and NS are
 * put in front, and the TTL is one second, so that a test sees changes soon.
 */
export class NameServer implements AsyncDisposable {
  readonly port: number;
  readonly #dir: TempDir;
  readonly #zones: Map<string, string>;
  #program: Program;
  #serial = 0;

  private constructor(port: number, dir: TempDir, zones: Map<string, string>, program: Program) {
    this.port = port;
    this.#dir = dir;
    this.#zones = zones;
    this.#program = program;
  }

  static async start(zones: Record<string, string>): Promise<NameServer> {
    const dir = await tempDir('named');
    // named cannot pick a port itself, and needs it for UDP and TCP: another try when the port was taken meanwhile.
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const table = new Map(Object.entries(zones));
      await writeConfig(dir.path, port, table, 0);
      const program = launch(dir.path);
      try {
        await program.waitForOutput(/ running$/m);
        if (/could not listen|address in use/i.test(program.output)) throw new Error(program.output);
        return new NameServer(port, dir, table, program);
      } catch (error) {
        await program[Symbol.asyncDispose]();
        if (attempt < 3) continue;
        await dir[Symbol.asyncDispose]();
        throw error;
      }
    }
  }

  /** As the configuration and `Resolver.setServers` want it. */
  get server(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Its log. */
  get output(): string {
    return this.#program.output;
  }

  /** Put a zone in place of the old one, or add it; resolves when it is what the server answers. */
  async setZone(name: string, records: string): Promise<void> {
    this.#zones.set(name, records);
    const serial = ++this.#serial;
    const printed = this.#program.output.length;
    await writeConfig(this.#dir.path, this.port, this.#zones, serial);
    this.#program.signal('SIGHUP');
    const resolver = new Resolver({ timeout: 500, tries: 1 });
    resolver.setServers([this.server]);
    await waitFor(async () => (await resolver.resolveSoa(name)).serial === serial + 1, {
      what: `zone ${name} with serial ${serial + 1}`,
    }).catch((cause: unknown) => {
      throw new Error(`named did not take zone ${name}:\n${this.#program.output.slice(printed)}`, { cause });
    });
  }

  /** Answer nothing any more; ports refuse. */
  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** Take questions and answer nothing: every query times out. */
  async pause(): Promise<void> {
    await this.#program.pause();
  }

  resume(): void {
    this.#program.resume();
  }

  /** Come back on the same port after `stop`. */
  async restart(): Promise<void> {
    this.#program = launch(this.#dir.path);
    await this.#program.waitForOutput(/ running$/m);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

function launch(dir: string): Program {
  return new Program('named', ['-g', '-n', '1', '-c', join(dir, 'named.conf')]);
}

async function writeConfig(dir: string, port: number, zones: Map<string, string>, serial: number): Promise<void> {
  const clauses: string[] = [];
  let number = 0;
  for (const [name, records] of zones) {
    const file = join(dir, `zone-${number++}`);
    const head = `$TTL 1\n@ SOA ns.nameserver.test. hostmaster.nameserver.test. ${serial + 1} 3600 600 86400 1\n@ NS ns.nameserver.test.\n`;
    await writeFile(file, `${head}${records}\n`);
    clauses.push(`zone "${name}" { type primary; file "${file}"; };`);
  }
  await writeFile(
    join(dir, 'named.conf'),
    `options {
  directory "${dir}";
  listen-on port ${port} { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  recursion no;
  dnssec-validation no;
  empty-zones-enable no;
  notify no;
};
controls { };
${clauses.join('\n')}
`,
  );
}
