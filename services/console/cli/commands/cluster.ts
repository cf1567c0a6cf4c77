import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stdout } from 'node:process';
import type { Command } from 'commander';
import { modeWarning, unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { readPassword } from '../cluster/bus-password.ts';
import { BUS_USERS, type BusUser, permissionsOf } from '../cluster/bus-permissions.ts';
import { initCluster, type MigrationStep } from '../cluster/cluster-init.ts';
import { drainNode } from '../cluster/drain-node.ts';
import { forgetNode } from '../cluster/forget-node.ts';
import { makeStreams } from '../cluster/make-streams.ts';
import { HEADLINE, natsConfig } from '../cluster/nats-config.ts';
import { clusterStatus } from '../cluster/report.ts';
import { print, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';

type Options = { out?: string; passwords?: string; upgrading?: boolean; json?: boolean };

export function register(program: Command): void {
  const cluster = program.command('cluster').description('what the nodes of a cluster share');
  withCommon(cluster.command('status'))
    .description('every process of every node, and what they do not agree about; fails on errors and warnings')
    .action(clusterStatus);
  withCommon(cluster.command('drain'))
    .description('take a node out: its queue goes to other nodes, then its processes end')
    .argument('<node>', 'its name')
    .option('--timeout <duration>', 'how long to wait; the drain itself goes on', '10m')
    .addHelpText(
      'after',
      '\nIt takes no more mail from that moment on. Tell whatever restarts processes (systemd, docker) beforehand' +
        '\nnot to restart this one. Receipts stay on its disk.',
    )
    .action(drainNode);
  withCommon(cluster.command('forget'))
    .description('have the others forget a node that was taken out for good, a day before they would')
    .argument('<node>', 'its name')
    .option(
      '--delete-copies',
      'delete void copies of its mail, which may be all that is left of the last that it accepted',
    )
    .action(forgetNode);
  registerBus(cluster);
}

/** What makes the files of a cluster and its bus. */
function registerBus(cluster: Command): void {
  cluster
    .command('nats-config')
    .description('the users of the bus and what each may do, for the configuration of nats-server')
    .option('--out <file>', 'write it there; a file that this command made is replaced')
    .option('--passwords <folder>', 'a file with the password of each user, made where it is missing; needs --out')
    .option('--upgrading', 'permit also what processes of the version before need; once they are gone, run it without')
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      '\nThere is a user for each service, "node" for processes that run all of them, "operator" for commands, and' +
        '\n"streams" for "cluster streams"; bus.user in sealpost.yaml names one. Without --passwords, nats-server takes them from its environment.',
    )
    .action(printUsers);
  withCommon(cluster.command('streams'))
    .description('create or correct the JetStream streams of keys and claims, where NATS has users')
    .option('--password <file>', 'the password of the user "streams" of NATS (default: the login of the configuration)')
    .option('--timeout <duration>', 'how long to wait for a majority of the NATS servers', '60s')
    .addHelpText('after', '\nServices may not do this. Run it once NATS is up, and again when NATS lost all its data.')
    .action(makeStreams);
  cluster
    .command('init')
    .description('make the secrets of a cluster: a folder for each service, one for NATS, one for the authority')
    .argument('<folder>', 'where to write; existing files stay')
    .option('--nats <host...>', 'names or addresses of the NATS servers', ['nats-1', 'nats-2', 'nats-3'])
    .option('--routes <host...>', 'names or addresses by which these reach each other (default: the same)')
    .option('--hostname <name...>', 'names of the listeners in their certificate', ['mail.sealpost.test'])
    .option('--new-nek', 'where the NEK of a cluster is lost: make another, though no key of before can sign then')
    .option('--nodes', 'for hosts that run every service in one process: one folder "node" in place of theirs')
    .option('--advance', 'take the next step away from the one authority of earlier versions')
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      '\nGive each machine or container only the folders that it needs; none needs that of the authority. Run it' +
        '\nagain with each new version of Sealpost, and once a year: it renews what is out of date.',
    )
    .action(init);
}

type InitOptions = {
  nats: string[];
  routes?: string[];
  hostname: string[];
  nodes?: boolean;
  newNek?: boolean;
  advance?: boolean;
  json?: boolean;
};

/** What to do before the next step of the migration. */
const NEXT: Record<MigrationStep, string | undefined> = {
  trust:
    'Step 1 of 3: old and new authorities are trusted. Give every process its new files, restart each NATS server with them,' +
    ' run "cluster streams", upgrade every process; then run this with --advance.',
  present:
    'Step 2 of 3: NATS servers show new certificates. Give them their new files and reload each (SIGHUP); then run this' +
    ' with --advance.',
  done: undefined,
};

async function init(folder: string, options: InitOptions): Promise<void> {
  const { nats, routes = nats, hostname: listeners, nodes = false, newNek = false, advance = false } = options;
  const processes = nodes ? 'nodes' : 'services';
  const hosts = { nats, routes, listeners, processes, newNek, advance } as const;
  const { written, removed, step } = await initCluster(folder, hosts);
  print(options, { folder, written, removed, step }, () =>
    [
      ...(written.length + removed.length === 0 ? [`${folder} has all that a cluster needs`] : []),
      ...written.map((file) => `wrote ${file}`),
      ...removed.map((file) => `removed ${file}`),
      ...(NEXT[step] === undefined ? [] : [NEXT[step]]),
    ].join('\n'),
  );
}

async function printUsers(options: Options): Promise<void> {
  const { out, passwords: folder, upgrading = false } = options;
  if (folder !== undefined && out === undefined) {
    throw usageError('passwords are not printed: name the file to write with --out');
  }
  const users = BUS_USERS.map((user) => ({ user, ...permissionsOf(user, { upgrading }) }));
  if (out === undefined) {
    if (options.json) print(options, { users }, () => '');
    else stdout.write(natsConfig({ passwords: undefined, upgrading }));
    return;
  }
  await requireOurs(out);
  const passwords = folder === undefined ? undefined : await readPasswords(folder);
  // In place where there is one, so that it stays readable for nats-server; a new one is for its owner alone.
  await writeFile(out, natsConfig({ passwords, upgrading }), { mode: 0o600, flush: true });
  const warning = await modeWarning(out);
  if (folder !== undefined && warning !== undefined) console.error(`warning: ${warning}`);
  print(options, { file: out, ...(folder !== undefined && { passwords: folder }), users }, () =>
    [
      `wrote the users of the bus to ${out}: include it in the configuration of every nats-server`,
      ...(folder === undefined
        ? []
        : [`their passwords are in ${folder}: give each machine only those of the users that it needs`]),
    ].join('\n'),
  );
}

/** A file that this command did not make is not replaced. Fails with `exists`. */
async function requireOurs(file: string): Promise<void> {
  try {
    if ((await readFile(file, 'utf8')).startsWith(HEADLINE)) return;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw new SealpostError('exists', unreadable(file, error));
  }
  throw new SealpostError('exists', `${file} was not made by this command and is not replaced: name another file`);
}

/** The password of each user, from its file in the folder; a new one where there is none. */
async function readPasswords(folder: string): Promise<Map<BusUser, string>> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const passwords = new Map<BusUser, string>();
  for (const user of BUS_USERS) passwords.set(user, await readPassword(join(folder, user)));
  return passwords;
}
