import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { Dovecot } from './dovecot.ts';
import { VerifyingSink } from './verifying-sink.ts';

/**
 * Dovecot's submission service, for the user `edge`. It passes mail on to a sink that verifies it, with the
 * keys in `zone`.
 */
export class SmartHost implements AsyncDisposable {
  readonly sink: VerifyingSink;
  /** Host and port. */
  readonly address: string;
  /** File with the authority of its certificate. */
  readonly ca: string;
  readonly #users: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: Pick<SmartHost, 'sink' | 'address' | 'ca'>,
    users: string,
    resources: AsyncDisposableStack,
  ) {
    this.sink = parts.sink;
    this.address = parts.address;
    this.ca = parts.ca;
    this.#users = users;
    this.#resources = resources;
  }

  static async start(folder: string, host: string, zone: { name: string; records: string }): Promise<SmartHost> {
    await using undo = new AsyncDisposableStack();
    const names = undo.use(await NameServer.start({ [zone.name]: zone.records }));
    const sink = undo.use(await VerifyingSink.start([names.server], 1));
    const own = join(folder, 'dovecot');
    await mkdir(own);
    const { caFile, certificateFile, keyFile } = await writeCertificate(own, { names: [host] });
    const port = await freePort();
    const users = join(own, 'users');
    const settings = `listen = ${host}
protocols = submission
hostname = submission.test
ssl = required
ssl_cert = <${certificateFile}
ssl_key = <${keyFile}
passdb {
  driver = passwd-file
  args = ${users}
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${own}/home
}
submission_relay_host = 127.0.0.1
submission_relay_port = ${sink.port}
service submission-login {
  chroot =
  inet_listener submission {
    port = ${port}
  }
}
`;
    await writeFile(users, 'edge:{PLAIN}first password::::::\n');
    undo.use(await Dovecot.start(own, settings));
    return new SmartHost({ sink, address: `${host}:${port}`, ca: caFile }, users, undo.move());
  }

  async setPassword(password: string): Promise<void> {
    await writeFile(this.#users, `edge:{PLAIN}${password}::::::\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
