import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { listen } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import { busLogin } from '#cluster/config/bus-login.ts';
import { requireConfig, type Section } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { announcedBy, type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { calls, MAIL_SERVICES } from '#services/topology.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Clients } from '../reports/clients.ts';
import type { CredentialStore } from '../reports/keys/key-list.ts';
import { usageError } from './exit.ts';
import { operator } from './operator.ts';
import { SANDBOX_FOLDER, sandboxConfig } from './start/sandbox.ts';
import { cleanLines, jsonText } from './table.ts';

/** What all commands share: which configuration they are about, how they reach the node, how they print. */

export type CommonOptions = { config?: string; json?: boolean };

const DEFAULT_FILE = 'sealpost.yaml';

/** Give a command the options that all commands have. */
export function withCommon(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      `configuration (default: ./${DEFAULT_FILE}, else the sandbox in ./${SANDBOX_FOLDER})`,
    )
    .option('--json', 'print JSON for programs');
}

/** The configuration file that a command is about; undefined for the sandbox. */
export function configFile(options: CommonOptions): string | undefined {
  if (options.config !== undefined) return options.config;
  return existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined;
}

/** What a command must know to reach the node. */
const REACH = ['node', 'bus'] as const satisfies Section[];

/**
 * The configuration without a look at its files. Of its sections only those that the command is about, `only`, must be
 * right: a node whose file is broken goes on with the configuration that it has, and must remain manageable.
 */
export async function readConfig(options: CommonOptions, only: readonly Section[] = REACH): Promise<Config> {
  const file = configFile(options);
  return file === undefined
    ? sandboxConfig(resolve(SANDBOX_FOLDER))
    : (await requireConfig(file, { files: false, only })).config;
}

/** A way to the services of the node, or of the cluster when it has a bus. */
export type Caller = AsyncDisposable &
  Clients & {
    config: Config;
    /** Whether calls can leave this process right now: while they cannot, silence says nothing about a service. */
    readonly connected: boolean;
    /**
     * The processes of the cluster, from any of them, so that further questions go to none that hangs: also those that must
     * not be asked twice. Fails as the call does.
     */
    meet(): Promise<readonly Member[]>;
  };

/** Connect to the running node. Fails with `no-node`. */
export async function openCaller(options: CommonOptions): Promise<Caller> {
  return connect(await readConfig(options));
}

/** Connect to the node with this configuration, which runs, or to its cluster. Fails with `no-node`. */
export async function connect(config: Config): Promise<Caller> {
  if (config.bus.servers.length === 0) {
    return caller(config, new ControlClient(config.node.data));
  }
  const bus = await connectNats(config);
  return bus === undefined ? openOwnNode(config) : caller(config, bus, bus);
}

const MEET_LIMIT_MS = 5000;

/** Connect, ask the credential-store, close. Fails with `no-node`, or as `ask` does. */
export async function withStore<T>(
  options: CommonOptions,
  ask: (store: CredentialStore, caller: Caller) => Promise<T>,
): Promise<T> {
  await using caller = await openCaller(options);
  // Where nobody answers, what is asked then says so.
  await caller.meet().catch(() => undefined);
  return await ask(caller.client(credentialStoreContract), caller);
}

/**
 * The same of the credential-store of this machine where it runs, for what is to be done where the NEK is: the user of
 * NATS that its process has may ask no other.
 */
export async function withOwnStore<T>(
  options: CommonOptions,
  ask: (store: CredentialStore, caller: Caller) => Promise<T>,
): Promise<T> {
  const config = await readConfig(options);
  const control = new ControlClient(config.node.data);
  if (!(await control.answers())) return withStore(options, ask);
  await using own = caller(config, control);
  return await ask(own.client(credentialStoreContract), own);
}

/** NATS cannot be reached; the node on this machine may answer for itself where one process has every service. */
async function openOwnNode(config: Config): Promise<Caller> {
  const control = new ControlClient(config.node.data);
  const answer = calls(control, 'operator', 'member')['member-list']({}, { timeout: MEET_LIMIT_MS });
  // It lists itself first.
  const [own] = await answer.then(
    ({ members }) => members,
    () => [],
  );
  if (own === undefined || !MAIL_SERVICES.every((service) => own.services.includes(service))) {
    throw new SealpostError(
      'no-node',
      `no NATS server answers at ${config.bus.servers.join(', ')}: start it, or check bus.servers`,
    );
  }
  console.error(`NATS does not answer: this is from node ${config.node.name} alone`);
  return caller(config, control);
}

function caller(config: Config, anonymous: Pick<Bus, 'call'>, bus?: Bus): Caller {
  const by = operator();
  const way: Pick<Bus, 'call'> = {
    call: (address, request, node) => anonymous.call(address, { ...request, by }, node),
  };
  return {
    config,
    client: ({ name }) => calls(way, 'operator', name),
    meet: async () => {
      const { members } = await calls(way, 'operator', 'member')['member-list']({}, { timeout: MEET_LIMIT_MS });
      for (const member of members) bus?.heard(announcedBy(member), member.heard);
      return members;
    },
    get connected() {
      return bus?.connected ?? true;
    },
    [Symbol.asyncDispose]: async () => bus?.drain(),
  };
}

/** Undefined when no server answers. */
async function connectNats({ bus, node }: Config): Promise<Bus | undefined> {
  // Loaded where it is needed: most commands talk to a node on this machine, and should start fast.
  const [{ NatsBus }, { silentLogger }] = await Promise.all([
    import('#cluster/bus/nats-bus.ts'),
    import('#shared/log.ts'),
  ]);
  const connection = await NatsBus.connect({
    servers: bus.servers,
    node: node.name,
    log: silentLogger,
    name: `sealpost command on ${node.name}`,
    ...(await busLogin(bus)),
    ...(bus.tls !== undefined && { tls: bus.tls }),
  });
  // Who does its work says so every second: a command asks nobody else, once it has heard of one.
  const hear = listen(connection, memberContract, silentLogger);
  hear('heartbeat', (heartbeat) => connection.heard(announcedBy(heartbeat)));
  if (connection.connected) return connection;
  await connection.drain();
  return undefined;
}

/** Print a result: JSON for programs, text for people. Nothing in it steers the terminal, whatever a command forgot. */
export function print(options: CommonOptions, value: unknown, text: () => string): void {
  console.log(options.json ? jsonText(value, 2) : cleanLines(text()));
}

/** A positive whole number from the command line. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw usageError(`"${text}" is not a number above 0`);
  return count;
}
