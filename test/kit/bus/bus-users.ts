import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUS_USERS, type BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { Secret } from '#shared/secret.ts';
import { sealpost } from '#test/kit/command.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type NatsServer, startNatsServer } from './nats-server.ts';

export type Login = { user: string; password: Secret };

/** A nats-server with JetStream whose users are those that `sealpost cluster nats-config` makes. */
export type GuardedServer = AsyncDisposable & {
  server: NatsServer;
  logins: ReadonlyMap<BusUser, Login>;
  login(user: BusUser): Login;
  /** A further user that may do everything. */
  admin: Login;
};

export async function startGuardedServer(): Promise<GuardedServer> {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await tempDir('bus-users'));
  const args = ['cluster', 'nats-config', '--passwords', 'passwords', '--out', 'users.conf'];
  const made = await sealpost(args, { cwd: path });
  if (made.code !== 0) throw new Error(made.stderr);
  const logins = new Map<BusUser, Login>();
  for (const user of BUS_USERS) {
    const password = new Secret((await readFile(join(path, 'passwords', user), 'utf8')).trim());
    logins.set(user, { user, password });
  }
  const users = await readFile(join(path, 'users.conf'), 'utf8');
  const config = users.replace('users: [', 'users: [ { user: admin, password: admin }');
  const server = undo.use(await startNatsServer({ jetStream: true, config }));
  const resources = undo.move();
  return {
    server,
    logins,
    login: (user) => {
      const login = logins.get(user);
      if (login === undefined) throw new Error(`there is no user ${user}`);
      return login;
    },
    admin: { user: 'admin', password: new Secret('admin') },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
