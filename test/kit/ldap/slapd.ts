import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import type { CertificateFiles } from '#test/kit/nodes/certificate.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * OpenLDAP's slapd on 127.0.0.1 and free ports, with a configuration and a database of its own below
 * `dc=example,dc=com`. `ADMIN` may do everything; everybody may read, but for passwords.
 */

export const BASE = 'dc=example,dc=com';
export const ADMIN = `cn=admin,${BASE}`;
export const ADMIN_PASSWORD = 'correct horse';

export type SlapdOptions = {
  /** Entries below `BASE`, which is there already. */
  ldif: string;
  /** Its certificate, for StartTLS and ldaps. */
  certificate?: CertificateFiles;
  /** Its log has no operations. */
  quiet?: boolean;
};

export class Slapd implements AsyncDisposable {
  readonly url: string;
  readonly secureUrl: string | undefined;
  readonly #dir: TempDir;
  readonly #quiet: boolean;
  #program: Program;

  private constructor(dir: TempDir, urls: readonly string[], program: Program, quiet: boolean) {
    this.#dir = dir;
    this.#quiet = quiet;
    this.url = urls[0] ?? '';
    this.secureUrl = urls[1];
    this.#program = program;
  }

  static async start(options: SlapdOptions): Promise<Slapd> {
    const dir = await tempDir('slapd');
    try {
      await load(dir.path, options);
      // slapd cannot pick a port itself: another try when one was taken meanwhile.
      for (let attempt = 1; ; attempt++) {
        const urls = [`ldap://127.0.0.1:${await freePort()}`];
        if (options.certificate !== undefined) urls.push(`ldaps://127.0.0.1:${await freePort()}`);
        const program = launch(dir.path, urls, options.quiet);
        try {
          await listening(program, urls);
          return new Slapd(dir, urls, program, options.quiet ?? false);
        } catch (error) {
          await program[Symbol.asyncDispose]();
          if (attempt >= 3) throw error;
        }
      }
    } catch (error) {
      await dir[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Its log: connections, and each operation with its result, some time later. */
  get output(): string {
    return this.#program.output;
  }

  /** Change entries, as ldapmodify takes it. */
  async modify(ldif: string): Promise<void> {
    const file = join(this.#dir.path, 'changes.ldif');
    await writeFile(file, ldif);
    await run('ldapmodify', ['-x', '-H', this.url, '-D', ADMIN, '-w', ADMIN_PASSWORD, '-f', file]);
  }

  /** Ports refuse. */
  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** Take connections and answer nothing. */
  async pause(): Promise<void> {
    await this.#program.pause();
  }

  resume(): void {
    this.#program.resume();
  }

  /** Come back on the same ports after `stop`. */
  async restart(): Promise<void> {
    const urls = this.secureUrl === undefined ? [this.url] : [this.url, this.secureUrl];
    this.#program = launch(this.#dir.path, urls, this.#quiet);
    await listening(this.#program, urls);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

function launch(dir: string, urls: readonly string[], quiet = false): Program {
  // With a level of debugging it stays in the foreground; `stats` has a line for each operation.
  return new Program('slapd', ['-d', quiet ? 'none' : 'stats', '-f', join(dir, 'slapd.conf'), '-h', urls.join(' ')]);
}

/** It says that it starts before it listens. */
async function listening(program: Program, urls: readonly string[]): Promise<void> {
  await program.waitForOutput(/slapd starting/);
  for (const url of urls) {
    await waitFor(
      async () => {
        const socket = connect(Number(new URL(url).port), '127.0.0.1');
        await once(socket, 'connect').finally(() => socket.destroy());
        return true;
      },
      { what: `slapd to listen at ${url}` },
    );
  }
}

async function load(dir: string, { ldif, certificate }: SlapdOptions): Promise<void> {
  const data = join(dir, 'data');
  await mkdir(data);
  const tls =
    certificate === undefined
      ? ''
      : `TLSCertificateFile ${certificate.certificateFile}\nTLSCertificateKeyFile ${certificate.keyFile}\nTLSCACertificateFile ${certificate.caFile}\n`;
  const conf = `${['core', 'cosine', 'inetorgperson', 'nis', 'misc'].map((name) => `include /etc/ldap/schema/${name}.schema`).join('\n')}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${dir}/slapd.pid
argsfile ${dir}/slapd.args
${tls}
database mdb
maxsize 1073741824
suffix ${BASE}
rootdn ${ADMIN}
rootpw "${ADMIN_PASSWORD}"
directory ${data}
index objectClass,mail,mailLocalAddress,uid,cn eq
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`;
  await writeFile(join(dir, 'slapd.conf'), conf);
  const root = `dn: ${BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n`;
  await writeFile(join(dir, 'entries.ldif'), root + ldif);
  await run('slapadd', ['-q', '-f', join(dir, 'slapd.conf'), '-l', join(dir, 'entries.ldif')]);
}

async function run(command: string, args: string[]): Promise<void> {
  const program = new Program(command, args);
  const exit = await program.ended();
  if (exit !== 0) throw new Error(`${command} ended with ${exit}:\n${program.output}`);
}

type Person = { uid: string; mail?: readonly string[]; password?: string; more?: string };

/** LDIF of a user in `ou=people`, which `people` begins with. */
export function person({ uid, mail = [`${uid}@example.com`], password, more = '' }: Person): string {
  const classes = 'objectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n';
  const mails = mail.map((address) => `mail: ${address}\n`).join('');
  const secret = password === undefined ? '' : `userPassword: ${password}\n`;
  return `dn: ${dnOf(uid)}\n${classes}cn: ${uid}\nsn: ${uid}\nuid: ${uid}\n${mails}${secret}${more}\n`;
}

export const dnOf = (uid: string): string => `uid=${uid},ou=people,${BASE}`;

/** LDIF of a group with an address, and members by their DNs. */
export function group(name: string, members: readonly string[]): string {
  const lines = members.map((dn) => `member: ${dn}\n`).join('');
  const classes = 'objectClass: groupOfNames\nobjectClass: inetLocalMailRecipient\n';
  return `dn: ${groupDn(name)}\n${classes}cn: ${name}\nmailLocalAddress: ${name}@example.com\n${lines}\n`;
}

export const groupDn = (name: string): string => `cn=${name},ou=groups,${BASE}`;

/** The folders that people and groups are in. */
export const FOLDERS = ['people', 'groups']
  .map((name) => `dn: ou=${name},${BASE}\nobjectClass: organizationalUnit\nou: ${name}\n\n`)
  .join('');
