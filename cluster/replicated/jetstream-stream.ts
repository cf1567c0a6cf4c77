import {
  DiscardPolicy,
  ErrorCode,
  type JetStreamManager,
  NatsError,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from 'nats';
import { errorText, SealpostError } from '#shared/errors.ts';
import { encodeToken } from '../bus/subjects.ts';

/**
 * The stream of a replicated map: how it is created, what its subjects are, and what JetStream's refusals mean.
 *
 * It has the form of a key-value bucket (`KV_<bucket>`, subjects `$KV.<bucket>.<key>`, one message a subject), so that
 * `nats kv` shows it. A node that finds it missing creates it; two that do so concurrently ask for the same and both get
 * it.
 */

/** How long JetStream may take to answer. */
export const ANSWER_LIMIT_MS = 2500;
/** Longest message that the stream takes, in bytes: what NATS carries where nothing else is configured. */
export const MAX_MESSAGE = 1024 * 1024;

/** JetStream's error codes (`err_code`). */
export const JS_ERROR = {
  noPeers: 10005,
  noLeader: 10008,
  insufficientResources: 10023,
  streamNotFound: 10059,
  nameInUse: 10058,
  wrongLastSequence: 10071,
  replicasInSingleServer: 10074,
  notEnabled: 10076,
  notEnabledForAccount: 10039,
} as const;

export const streamName = (bucket: string): string => `KV_${bucket}`;

/** The subject of a key: its last token is the key (`encodeToken`). */
export const subjectOf = (bucket: string, key: string): string => `$KV.${bucket}.${encodeToken(key)}`;

/** The key of a subject; undefined when no key of ours has that subject. */
export function keyOf(bucket: string, subject: string): string | undefined {
  const token = subject.slice(`$KV.${bucket}.`.length);
  const key = Buffer.from(
    token.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();
  return subjectOf(bucket, key) === subject ? key : undefined;
}

/** What a reader and writer of the stream publishes: its records, requests to JetStream, and flow control. */
export function streamSubjects(bucket: string): string[] {
  const asked = ['STREAM.INFO', 'STREAM.CREATE', 'STREAM.UPDATE', 'CONSUMER.CREATE'];
  const stream = streamName(bucket);
  return [`$KV.${bucket}.*`, ...asked.map((what) => `$JS.API.${what}.${stream}`), `$JS.FC.${stream}.>`];
}

/** JetStream's own code of an error, if it has one. */
export function jetStreamCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

function wantedConfig(bucket: string, replicas: number): Partial<StreamConfig> & { name: string } {
  return {
    name: streamName(bucket),
    subjects: [`$KV.${bucket}.>`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_msgs_per_subject: 1,
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    max_msg_size: MAX_MESSAGE,
    num_replicas: replicas,
    allow_rollup_hdrs: false,
    allow_direct: true,
    deny_delete: true,
    deny_purge: true,
  };
}

/** What a stream that somebody else created must have, lest records vanish from it. */
const KEEPING = ['max_msgs_per_subject', 'max_msgs', 'max_bytes', 'max_age'] as const;

export type EnsuredStream = { info: StreamInfo; problem: string | undefined };

/**
 * The stream, created when it is missing, corrected when it would lose records, raised to `replicas` when it has fewer.
 * `problem` says why it could not be raised; it works as it is. Fails with `no-quorum`, saying what to do.
 */
export async function ensureStream(jsm: JetStreamManager, bucket: string, replicas: number): Promise<EnsuredStream> {
  try {
    const info = await findOrMake(jsm, bucket, replicas);
    const wanted = wantedConfig(bucket, replicas);
    const keeps = KEEPING.every((field) => info.config[field] === wanted[field]);
    const enough = info.config.num_replicas >= replicas;
    if (keeps && enough) return { info, problem: undefined };
    const { name, ...config } = { ...wanted, num_replicas: Math.max(replicas, info.config.num_replicas) };
    try {
      return { info: await jsm.streams.update(name, config), problem: undefined };
    } catch (error) {
      // With too few servers for the copies that it shall have, it still carries changes.
      if (!keeps || jetStreamCode(error) === undefined) throw error;
      return {
        info,
        problem: `${streamName(bucket)} has ${info.config.num_replicas} replicas: ${explain(error, replicas)}`,
      };
    }
  } catch (error) {
    throw new SealpostError('no-quorum', explain(error, replicas), { cause: error });
  }
}

async function findOrMake(jsm: JetStreamManager, bucket: string, replicas: number): Promise<StreamInfo> {
  const name = streamName(bucket);
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (jetStreamCode(error) !== JS_ERROR.streamNotFound) throw error;
  }
  try {
    return await jsm.streams.add(wantedConfig(bucket, replicas));
  } catch (error) {
    // Another node has just created it with other settings.
    if (jetStreamCode(error) !== JS_ERROR.nameInUse) throw error;
    return jsm.streams.info(name);
  }
}

/** A failure of JetStream as a sentence for the administrator. */
export function explain(error: unknown, replicas: number): string {
  const answer = error instanceof NatsError ? error.api_error : undefined;
  switch (answer?.err_code) {
    case JS_ERROR.replicasInSingleServer:
      return `this NATS server is alone and cannot keep ${replicas} replicas: set bus.replicas to 1, or cluster three servers`;
    case JS_ERROR.noPeers:
    case JS_ERROR.insufficientResources:
      return `NATS has too few JetStream servers up for ${replicas} replicas: start them, or set bus.replicas lower`;
    case JS_ERROR.noLeader:
      return 'JetStream has no leader: are most of the NATS servers up?';
    case JS_ERROR.notEnabled:
    case JS_ERROR.notEnabledForAccount:
      return 'NATS has no JetStream: start its servers with -js';
    case undefined:
      break;
    default:
      return `JetStream answers: ${answer?.description}`;
  }
  if (error instanceof NatsError && error.code === ErrorCode.NoResponders) {
    return 'NATS has no JetStream: start its servers with -js';
  }
  if (error instanceof NatsError && error.code === ErrorCode.Timeout) {
    return `JetStream did not answer within ${ANSWER_LIMIT_MS} ms: are most of the NATS servers up?`;
  }
  return `JetStream cannot be used: ${errorText(error)}`;
}
