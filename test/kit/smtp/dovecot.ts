import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program } from '#test/kit/program.ts';
import { needs, type Peer } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What a test with Dovecot needs: it, its daemons, and other programs. */
export function needsDovecot(...others: Peer[]): { skip: string | false } {
  return process.getuid?.() === 0 ? needs('dovecot', ...others) : { skip: 'Dovecot starts as root only' };
}

/** Its LMTP service on a port, as lines of dovecot.conf. A user is the local part of an address. */
export function lmtpOn(port: number): string {
  return `protocols = lmtp
ssl = no
auth_username_format = %n
service lmtp {
  inet_listener lmtp {
    port = ${port}
  }
}
`;
}

/** The users that `writeUsers` wrote into a folder, as lines of dovecot.conf. A full mailbox may have room later. */
export function usersIn(folder: string): string {
  const file = `driver = passwd-file\n  args = ${folder}/users`;
  return `first_valid_uid = 1
mail_plugins = quota
plugin {
  quota = maildir:User quota
}
quota_full_tempfail = yes
passdb {
  ${file}
}
userdb {
  ${file}
}
`;
}

/** Users by name, each with the bytes that its mailbox may have. Those of a Dovecot that runs may be written again. */
export async function writeUsers(folder: string, users: Record<string, string>): Promise<void> {
  const lines = Object.entries(users).map(
    ([name, quota]) => `${name}:{PLAIN}x:65534:65534::${folder}/home/${name}::userdb_quota_rule=*:bytes=${quota}`,
  );
  await writeFile(join(folder, 'users'), `${lines.join('\n')}\n`);
}

/**
 * Dovecot in a folder of its own, which does as `settings` says, lines of dovecot.conf. The mail of a user is
 * in `folder`/home/<name>/mail, a Maildir. It starts as root only.
 */
export class Dovecot implements AsyncDisposable {
  readonly #folder: string;
  #program: Program;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#program = this.#run();
  }

  static async start(folder: string, settings: string): Promise<Dovecot> {
    // Its daemons run as other users.
    await chmod(folder, 0o755);
    for (const name of ['run', 'state', 'home']) await mkdir(join(folder, name));
    await chmod(join(folder, 'home'), 0o777);
    await writeFile(
      join(folder, 'dovecot.conf'),
      `base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
listen = 127.0.0.1
default_vsz_limit = 0
mail_location = maildir:${folder}/home/%n/mail
service anvil {
  chroot =
}
${settings}`,
    );
    const dovecot = new Dovecot(folder);
    await dovecot.#started(1);
    return dovecot;
  }

  /** End it in an orderly way, and start it again. */
  async restart(): Promise<void> {
    const before = await this.#starts();
    await this.#program.stop();
    this.#program = this.#run();
    await this.#started(before + 1);
  }

  #run(): Program {
    return new Program('dovecot', ['-F', '-c', join(this.#folder, 'dovecot.conf')]);
  }

  async #starts(): Promise<number> {
    return (await this.log()).split('starting up').length - 1;
  }

  async #started(times: number): Promise<void> {
    try {
      await waitFor(async () => (await this.#starts()) === times, { what: 'Dovecot' });
    } catch (error) {
      await this.#program.stop();
      throw new Error(`Dovecot did not start: ${this.#program.output}`, { cause: error });
    }
  }

  log(): Promise<string> {
    return readFile(join(this.#folder, 'log'), 'utf8').catch(() => '');
  }

  /** What a user got that is in the inbox, or in another folder, and was not read. */
  async mailOf(user: string, folder = ''): Promise<Buffer[]> {
    const path = join(this.#folder, 'home', user, 'mail', folder === '' ? '' : `.${folder}`, 'new');
    const names = await readdir(path).catch(() => []);
    return Promise.all(names.map((name) => readFile(join(path, name))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
