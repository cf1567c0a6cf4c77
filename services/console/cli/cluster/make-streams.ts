import { setTimeout as delay } from 'node:timers/promises';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { busLogin } from '#cluster/config/bus-login.ts';
import { busReplicas } from '#cluster/config/bus-replicas.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { readSecret, SecretReference } from '#cluster/config/secrets.ts';
import { ANSWER_LIMIT_MS, ensureStream, isForbidden } from '#cluster/replicated/jetstream-stream.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import { parseDuration } from '#shared/units.ts';
import { type CommonOptions, print, readConfig } from '../context.ts';
import { usageError } from '../exit.ts';
import { BUCKETS, type BusUser } from './bus-permissions.ts';

/**
 * `sealpost cluster streams`: creates the JetStream streams of the replicated maps, and corrects those that are not
 * as they should be. Services have no permission to do that (`jetstream-stream.ts` says why), so it logs in as the user
 * `streams`.
 */
type Options = CommonOptions & { password?: string; timeout: string };
type Made = { stream: string; replicas: number; records: number };

const USER: BusUser = 'streams';
const RETRY_MS = 1000;

export async function makeStreams(options: Options): Promise<void> {
  const config = await readConfig(options, ['node', 'bus']);
  if (config.bus.servers.length === 0) {
    throw new SealpostError('invalid-config', 'bus.servers names no NATS server, so there are no streams to make');
  }
  const limit = parseDuration(options.timeout);
  if (limit === undefined) throw usageError(`"${options.timeout}" is not a duration: write 90s, 5m or 4h`);
  const end = performance.now() + limit;
  const login = options.password === undefined ? await busLogin(config.bus) : await loginFrom(options.password);
  const { servers, tls } = config.bus;
  const name = 'sealpost cluster streams';
  const bus = await NatsBus.connect({
    ...{ servers, node: config.node.name, name, log: silentLogger, ...login },
    ...(tls !== undefined && { tls }),
  });
  try {
    const streams: Made[] = [];
    for (const bucket of BUCKETS) streams.push(await make(bus, bucket, config, end));
    print(options, { streams }, () =>
      streams
        .map(({ stream, replicas, records }) => `${stream}: ${records} records, on ${replicas} NATS servers`)
        .join('\n'),
    );
  } finally {
    await bus.drain();
  }
}

async function loginFrom(file: string): Promise<{ user: string; password: Secret }> {
  return { user: USER, password: (await readSecret(new SecretReference({ file }))).secret };
}

/** Servers that have just started have no leader yet, so it is tried until `end`. Fails with `no-node`, `no-quorum`. */
async function make(bus: NatsBus, bucket: string, config: Config, end: number): Promise<Made> {
  for (;;) {
    try {
      const connection = bus.jetStream.current;
      if (connection === undefined) {
        throw new SealpostError('no-node', `no NATS server answers at ${config.bus.servers.join(', ')}`);
      }
      const jsm = await connection.jetstream({ timeout: ANSWER_LIMIT_MS }).jetstreamManager(false);
      const { info, problem } = await ensureStream(jsm, bucket, busReplicas(config));
      if (problem !== undefined) throw new SealpostError('no-quorum', problem);
      return { stream: info.config.name, replicas: info.config.num_replicas, records: info.state.messages };
    } catch (error) {
      if (isForbidden(error)) {
        throw usageError(`NATS permits only the user ${USER} to make streams: name its password file with --password`);
      }
      const waits = ['no-node', 'no-quorum'].includes(errorCode(error) ?? '');
      if (!waits || performance.now() + RETRY_MS > end) throw error;
      await delay(RETRY_MS);
    }
  }
}
