import { isDeepStrictEqual } from 'node:util';
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
import { encodeToken, eventSubject } from '../bus/subjects.ts';

/**
 * The stream of a replicated map: how it is created, what its subjects are, and what JetStream's refusals mean.
 *
 * It has the form of a key-value bucket (`KV_<bucket>`, subjects `$KV.<bucket>.<key>`, one message a subject), so that
 * `nats kv` shows it.
 *
 * JetStream acts with the authority of the whole account, whatever the user who asks may do himself. Whoever creates or
 * updates a stream can have any subject of the account stored in it: passwords, wrapped keys, replies. Whoever creates
 * a consumer, or gets a message as it is (DIRECT.GET, a pull consumer), chooses the subject that bytes of his own
 * making are sent to: events of others, or JetStream's own API, which then acts as if the account had asked. So the user
 * of a service gets none of these. It may
 *
 *   publish    $KV.<bucket>.*                        write
 *              $JS.API.STREAM.INFO.KV_<bucket>       ask for the stream's state
 *              $JS.API.STREAM.MSG.GET.KV_<bucket>    read a message
 *              sealpost.v1.stream.event.<bucket>     tell the other readers that there is something new
 *   subscribe  sealpost.v1.stream.event.<bucket>
 *
 * The answers to these are JetStream's JSON, which no part of Sealpost takes for a message. Sent to JetStream's API by
 * a reply subject, they could ask for no more than to delete or purge messages, and the stream denies both
 * (`deny_delete`, `deny_purge`, which cannot be taken back).
 *
 * The user `streams` creates and corrects streams (`sealpost cluster streams`) and does nothing else. Where the servers
 * have no users, a node that finds the stream missing creates it; two that do so concurrently ask for the same and both
 * get it.
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
  noMessage: 10037,
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

/** Where a writer says that the stream has something new. It is a hint: readers look in the stream. */
export const streamEvent = (bucket: string): string => eventSubject('stream', 1, bucket);

/** What a reader and writer of the stream publishes. */
export function streamSubjects(bucket: string): string[] {
  return [
    `$KV.${bucket}.*`,
    `$JS.API.STREAM.INFO.${streamName(bucket)}`,
    `$JS.API.STREAM.MSG.GET.${streamName(bucket)}`,
    streamEvent(bucket),
  ];
}

/** What readers of versions that read through a consumer, and created streams themselves, published beside it. */
export function formerStreamSubjects(bucket: string): string[] {
  const stream = streamName(bucket);
  const asked = ['STREAM.CREATE', 'STREAM.UPDATE', 'CONSUMER.CREATE'];
  return [...asked.map((what) => `$JS.API.${what}.${stream}`), `$JS.FC.${stream}.>`];
}

/** What is published to create a stream and to correct it. */
export function streamMakerSubjects(bucket: string): string[] {
  return ['INFO', 'CREATE', 'UPDATE'].map((what) => `$JS.API.STREAM.${what}.${streamName(bucket)}`);
}

/** Whether NATS does not permit the user what he asked for. */
export function isForbidden(error: unknown): boolean {
  const cause = error instanceof SealpostError ? error.cause : error;
  return cause instanceof NatsError && cause.code === ErrorCode.PermissionsViolation;
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

/**
 * What a stream that somebody else created must have, lest records vanish from it, and lest it take in what is not its
 * own.
 */
const KEEPING = [
  'max_msgs_per_subject',
  'max_msgs',
  'max_bytes',
  'max_age',
  'deny_delete',
  'deny_purge',
  'allow_rollup_hdrs',
  'subjects',
] as const;
/** What passes a stream's messages on, or takes in those of other streams. */
const FOREIGN = ['sources', 'mirror', 'republish'] as const;

export type EnsuredStream = { info: StreamInfo; problem: string | undefined };

const MAKE = 'run "sealpost cluster streams"';

/** The stream as it is; `problem` says what is not as configured. Fails with `no-quorum`, saying what to do. */
export async function findStream(jsm: JetStreamManager, bucket: string, replicas: number): Promise<EnsuredStream> {
  const name = streamName(bucket);
  try {
    const info = await jsm.streams.info(name);
    const { keeps, enough } = judge(info, bucket, replicas);
    const problems = [
      ...(keeps ? [] : [`${name} is not configured as it should be: ${MAKE}`]),
      ...(enough ? [] : [`${name} has ${info.config.num_replicas} replicas of ${replicas}: ${MAKE}`]),
    ];
    return { info, problem: problems.length === 0 ? undefined : problems.join('; ') };
  } catch (error) {
    const missing = jetStreamCode(error) === JS_ERROR.streamNotFound;
    const text = missing ? `JetStream has no stream ${name}: ${MAKE}` : explain(error, replicas);
    throw new SealpostError('no-quorum', text, { cause: error });
  }
}

function judge({ config }: StreamInfo, bucket: string, replicas: number): { keeps: boolean; enough: boolean } {
  const wanted = wantedConfig(bucket, replicas);
  return {
    keeps: KEEPING.every((field) => isDeepStrictEqual(config[field], wanted[field])),
    enough: config.num_replicas >= replicas,
  };
}

/**
 * The stream, created when it is missing, corrected when it would lose records, raised to `replicas` when it has fewer.
 * `problem` says why it could not be raised; it works as it is. Fails with `no-quorum`, saying what to do.
 */
export async function ensureStream(jsm: JetStreamManager, bucket: string, replicas: number): Promise<EnsuredStream> {
  try {
    const info = await findOrMake(jsm, bucket, replicas);
    const name = streamName(bucket);
    const foreign = FOREIGN.filter((field) => info.config[field] !== undefined);
    if (foreign.length > 0) {
      const text = `the stream ${name} has ${foreign.join(', ')}, which Sealpost never sets: delete the stream, and the nodes fill a new one`;
      throw new SealpostError('no-quorum', text);
    }
    const { keeps, enough } = judge(info, bucket, replicas);
    if (keeps && enough) return { info, problem: undefined };
    const { name: _, ...wanted } = wantedConfig(bucket, replicas);
    const config = { ...wanted, num_replicas: Math.max(replicas, info.config.num_replicas) };
    try {
      return { info: await jsm.streams.update(name, config), problem: undefined };
    } catch (error) {
      // With too few servers for the copies that it shall have, it still carries changes.
      if (!keeps || jetStreamCode(error) === undefined) throw error;
      return { info, problem: `${name} has ${info.config.num_replicas} replicas: ${explain(error, replicas)}` };
    }
  } catch (error) {
    if (error instanceof SealpostError) throw error;
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
  if (isForbidden(error)) {
    return `NATS does not permit this user what it needs: renew the permissions with "sealpost cluster init" or "nats-config"`;
  }
  if (error instanceof NatsError && error.code === ErrorCode.Timeout) {
    return `JetStream did not answer within ${ANSWER_LIMIT_MS} ms: are most of the NATS servers up?`;
  }
  return `JetStream cannot be used: ${errorText(error)}`;
}
