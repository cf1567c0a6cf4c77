import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A message of these lines has the verdict of that name from any rspamd that may say it. */
export const GTUBE = {
  reject: 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X',
  'add header': 'YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X',
  'rewrite subject': 'ZJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X',
} as const;

/**
 * rspamd with nothing but its test patterns, and a rule of ours in Lua that says what it was told of the session. It asks no
 * DNS.
 */
export class Rspamd implements AsyncDisposable {
  readonly port: number;
  /** Of its proxy, which is a milter. */
  readonly milterPort: number;
  readonly #dir: TempDir;
  #program: Program;

  private constructor({ port, milterPort }: { port: number; milterPort: number }, dir: TempDir, program: Program) {
    this.port = port;
    this.milterPort = milterPort;
    this.#dir = dir;
    this.#program = program;
  }

  static async start(): Promise<Rspamd> {
    const dir = await tempDir('rspamd');
    const ports = { port: await freePort(), milterPort: await freePort() };
    // The real list of public suffixes takes ten seconds to compile.
    await writeFile(join(dir.path, 'suffixes'), 'test\n');
    await writeFile(join(dir.path, 'rspamd.lua'), LUA);
    await writeFile(join(dir.path, 'rspamd.conf'), configuration(dir.path, ports));
    return new Rspamd(ports, dir, await launch(dir, ports.port));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Its connections are refused from now on. */
  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** It listens again, where it was. */
  async restart(): Promise<void> {
    this.#program = await launch(this.#dir, this.port);
  }

  /** Its connections are taken, and nothing is answered. */
  async pause(): Promise<void> {
    await this.#program.pause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Killed, its main process would leave its workers behind.
    await this.#program[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function launch(dir: TempDir, port: number): Promise<Program> {
  const program = new Program('rspamd', ['-c', join(dir.path, 'rspamd.conf'), '-f', '-i'], {
    env: { TMPDIR: dir.path },
  });
  const ping = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/ping`)).ok;
  await waitFor(ping, { what: 'rspamd', timeout: 20_000 });
  return program;
}

function configuration(folder: string, { port, milterPort }: { port: number; milterPort: number }): string {
  return `
options {
  pidfile = "${folder}/pid"; control_socket = "${folder}/control mode=0600"; tempdir = "${folder}"; hs_cache_dir = "${folder}";
  url_tld = "${folder}/suffixes"; filters = ""; enable_test_patterns = true; gtube_patterns = "all"; max_message = 100Mb;
  dns { nameserver = ["127.0.0.1:1"]; }
}
logging { type = "console"; level = "error"; }
lua = "${folder}/rspamd.lua";
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:${milterPort}"; count = 1; milter = yes; timeout = 30s;
  upstream "local" { default = yes; self_scan = yes; }
}
actions { reject = 15; rewrite_subject = 8; add_header = 6; }
`;
}

const LUA = `
rspamd_config:register_symbol{
  name = 'TOLD', type = 'prefilter', score = 0,
  callback = function(task)
    local said = { tostring(task:get_ip()), task:get_helo() or '', task:get_user() or '', task:get_queue_id() or '', task:get_hostname() or '' }
    local from = task:get_from('smtp')
    table.insert(said, from and from[1] and from[1].addr or '')
    for _, r in ipairs(task:get_recipients('smtp') or {}) do table.insert(said, r.addr) end
    task:set_milter_reply({ add_headers = { ['X-Told'] = table.concat(said, ' ') }, remove_headers = { ['X-Forged'] = 0 } })
  end
}
`;
