import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUS_USERS, type BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { Secret } from '#shared/secret.ts';
import { sealpost } from '#test/kit/command.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type NatsServer, startNatsCluster, startNatsServer } from './nats-server.ts';

export type Login = { user: string; password: Secret };

/**
 * Servers with JetStream whose users are those that `sealpost cluster nats-config` makes, with the streams that
 * `sealpost cluster streams` makes.
 */
export type GuardedServer = AsyncDisposable & {
  server: NatsServer;
  servers: readonly NatsServer[];
  logins: ReadonlyMap<BusUser, Login>;
  login(user: BusUser): Login;
  /** Run `sealpost cluster streams`. */
  makeStreams(): Promise<void>;
  /** A further user that may do everything. */
  admin: Login;
};

export async function startGuardedServer(size: 1 | 3 = 1): Promise<GuardedServer> {
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
  const servers = await startServers(size, config, undo);
  const [server] = servers;
  if (server === undefined) throw new Error('no servers');
  await writeFile(join(path, 'sealpost.yaml'), `bus: { servers: ${JSON.stringify(servers.map(({ url }) => url))} }`);
  const makeStreams = async (): Promise<void> => {
    const { code, stderr } = await sealpost(['cluster', 'streams', '--password', 'passwords/streams'], { cwd: path });
    if (code !== 0) throw new Error(stderr);
  };
  await makeStreams();
  const resources = undo.move();
  return {
    ...{ server, servers, makeStreams },
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

async function startServers(size: number, config: string, undo: AsyncDisposableStack): Promise<readonly NatsServer[]> {
  if (size === 1) return [undo.use(await startNatsServer({ jetStream: true, config }))];
  return undo.use(await startNatsCluster(size, config)).servers;
}
