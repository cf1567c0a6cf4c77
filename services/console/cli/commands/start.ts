import { resolve } from 'node:path';
import { Argument, type Command } from 'commander';
import { requireConfig } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { NodeOptions, RunningNode } from '#services/node.ts';
import { calls, SERVICES, type ServiceName } from '#services/topology.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { createLogger, type Logger, silentLogger } from '#shared/log.ts';
import { type CommonOptions, configFile, withCommon } from '../context.ts';
import { operator } from '../operator.ts';
import { serveHealth } from '../start/health.ts';
import { runNode } from '../start/lifecycle.ts';
import {
  createSandboxKeys,
  prepareSandbox,
  SANDBOX_FOLDER,
  SANDBOX_USER,
  sandboxBanner,
  sandboxPassword,
} from '../start/sandbox.ts';

export function register(program: Command): void {
  withCommon(program.command('start'))
    .description('run a node in the foreground; without a configuration, the sandbox')
    .addArgument(new Argument('[services...]', 'which services to run (default: all)').choices(SERVICES))
    .option('--health <socket>', 'Unix domain socket to make, at which "sealpost health" asks how the process is')
    .addHelpText(
      'after',
      '\nThe log goes to standard output: for people on a terminal, else JSON lines. SIGHUP reads the configuration again.',
    )
    .action(start);
}

type StartOptions = CommonOptions & { health?: string };
/** Undefined: all. */
type Chosen = readonly ServiceName[] | undefined;

async function start(names: ServiceName[], options: StartOptions): Promise<void> {
  const services = names.length === 0 ? undefined : names;
  const file = configFile(options);
  await (file === undefined ? startSandbox(services, options) : startFrom(file, services, options));
}

async function startFrom(file: string, services: Chosen, options: StartOptions): Promise<void> {
  const { config, warnings } = await requireConfig(file, { services }).catch(async (error: unknown) => {
    await tellCluster(file, services, error);
    throw error;
  });
  const { log, output } = createLogger({ level: config.log.level });
  for (const warning of warnings) log.warn({ file }, warning);
  await runNode(async () => {
    const node = await startNode({
      config,
      ...(services && { services }),
      log,
      logDropped: () => output.dropped,
      configFile: file,
    });
    await serveQuestions(node, log, options);
    return node;
  }, log);
}

/** Whose configuration is wrong tells the others, as far as that shows where they are. It does not keep it from ending. */
async function tellCluster(file: string, services: Chosen, reason: unknown): Promise<void> {
  try {
    const { config } = await requireConfig(file, { files: false, only: ['node', 'bus'] });
    if (config.bus.servers.length === 0) return;
    const { announceFailedStart } = await import('#services/node.ts');
    await announceFailedStart({ config, log: silentLogger, ...(services && { services }) }, errorText(reason));
  } catch (error) {
    console.error(`the other nodes were not told: ${errorText(error)}`);
  }
}

async function startSandbox(services: Chosen, options: StartOptions): Promise<void> {
  const folder = resolve(SANDBOX_FOLDER);
  const config = await prepareSandbox(folder);
  const password = await sandboxPassword(folder);
  // A newcomer at a terminal sees the banner first, and then what happens.
  const level = process.stdout.isTTY ? 'warn' : config.log.level;
  const { log, output } = createLogger({ level });
  await runNode(async () => {
    const first = { ...config, log: { ...config.log, level } };
    const node = await startNode({
      config: first,
      ...(services && { services }),
      log,
      logDropped: () => output.dropped,
    }).catch((error: unknown) => {
      throw explainPorts(error, config);
    });
    await createSandboxKeys(node.bus);
    await serveQuestions(node, log, options);
    const link = await consoleLink(node);
    if (options.json)
      console.error(JSON.stringify({ listeners: config.listeners, user: SANDBOX_USER, folder, console: link }));
    else console.error(sandboxBanner(config, folder, { password, link }));
    node.settings.replace(config);
    return node;
  }, log);
}

/** Undefined where the services that were named leave the console out. */
async function consoleLink({ bus, services }: RunningNode): Promise<string | undefined> {
  if (!services.includes('console')) return undefined;
  const made = await calls(bus, 'operator', 'console')['link-create']({ role: 'operator', person: operator() });
  return made.url;
}

/** Answer those who look after the process; where that fails, the node is stopped. */
async function serveQuestions(node: RunningNode, log: Logger, { health }: StartOptions): Promise<void> {
  try {
    if (health !== undefined) await serveHealth(node, node.services, health);
    const { MetricsServer } = await import('../../metrics/server.ts');
    await MetricsServer.start(node, node.services, log);
  } catch (error) {
    await node.stop();
    throw error;
  }
}

/** The services are loaded here: help does not need them, nor does a configuration with a mistake. */
async function startNode(options: NodeOptions): Promise<RunningNode> {
  const node = await import('#services/node.ts');
  return node.startNode(options);
}

/** The sandbox's ports are fixed, so that commands can be pasted: say which are needed when one is taken. */
function explainPorts(error: unknown, config: Config): unknown {
  if (!errorText(error).includes('EADDRINUSE')) return error;
  const ports = [...config.listeners, ...(config.console ? [config.console] : [])].map(({ port }) => port).join(', ');
  return new SealpostError(
    'port-taken',
    `${error instanceof Error ? error.message : String(error)}. The sandbox needs ports ${ports} of 127.0.0.1: ` +
      'does another sandbox run? Or write a sealpost.yaml with other ports',
  );
}
