import { createHash } from 'node:crypto';
import { z } from 'zod';
import { SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import { RecordMac, type Seal, sealedText } from './seal.ts';

/**
 * A record of a replicated map, as it is written in the stream and on disk, and which of two wins.
 *
 * In the stream a record is this JSON, UTF-8:
 *   schema    1
 *   key       the record's name in the map
 *   version   1 for the first, +1 with each change, deletion and re-creation included
 *   writeId   unique for each change ever tried
 *   previous  the write ids of the versions before this one, newest first, at most 15
 *   node      the node that wrote it
 *   time      when, ISO 8601, for people
 *   value     missing in a tombstone
 *   macs      in a map with a seal (`seal.ts`), which every version since takes for a member that it does not know
 *
 * On disk it is { version: 1, digest, record }, digest = SHA-256 of the record's JSON, hex. The JSON is kept as it came,
 * with members that this program does not know.
 *
 * `previous` tells whether a record descends from another: from it a writer that lost its answer learns whether its
 * change was made although others followed, and a node learns that its record and the stream's went separate ways.
 */

/** How many earlier write ids a record names. */
const REMEMBERED = 15;
/** Longest record in bytes of JSON. */
export const MAX_RECORD = 512 * 1024;

const Envelope = z.object({
  schema: z.literal(1),
  key: z.string().min(1).max(512),
  version: z.int().positive(),
  writeId: z.string().min(1).max(64),
  previous: z.array(z.string()),
  node: z.string(),
  time: z.string(),
  value: z.unknown().optional(),
  macs: z.array(RecordMac).min(1).max(16).optional(),
});
type Envelope = z.infer<typeof Envelope>;

/** `value` is undefined in a tombstone. `json` is the whole record as JSON. */
export type ReplicatedRecord<T> = Omit<Envelope, 'schema' | 'value'> & { value: T | undefined; json: string };

/** A record whose value the schema refuses: of a newer Sealpost, or not a record of this map. */
export type UnreadableRecord = Pick<Envelope, 'key' | 'version' | 'node' | 'macs'> & { problem: string; json: string };

export type Parsed<T> = { record: ReplicatedRecord<T> } | { unreadable: UnreadableRecord };

/** Make the next version of a record. Fails with `invalid-record` when the schema refuses the value, or `too-large`. */
export function nextRecord<T>(
  schema: z.ZodType<T>,
  current: ReplicatedRecord<T> | undefined,
  change: { key: string; node: string; value: T | undefined },
  seal?: Seal,
): ReplicatedRecord<T> {
  const { key, node, value } = change;
  const envelope = {
    schema: 1 as const,
    key,
    version: (current?.version ?? 0) + 1,
    writeId: newId(20),
    previous: current === undefined ? [] : [current.writeId, ...current.previous].slice(0, REMEMBERED),
    node,
    time: new Date().toISOString(),
    ...(value === undefined ? {} : { value }),
  };
  const json = withMacs(JSON.stringify(envelope), seal);
  if (Buffer.byteLength(json) > MAX_RECORD) {
    throw new SealpostError('too-large', `the record ${key} would have more than ${MAX_RECORD} bytes`);
  }
  const parsed = parseRecord(schema, json);
  if ('unreadable' in parsed)
    throw new SealpostError('invalid-record', `the record ${key}: ${parsed.unreadable.problem}`);
  return parsed.record;
}

/** What tells whether a record comes from another. */
export type RecordHistory = Pick<Envelope, 'key' | 'version' | 'writeId' | 'previous'>;

/** The same of a record of any map. Throws where it is none. */
export function parseHistory(text: string): RecordHistory {
  return Envelope.parse(JSON.parse(text));
}

/** Read a record from its JSON. Throws when it is none at all. */
export function parseRecord<T>(schema: z.ZodType<T>, text: string): Parsed<T> {
  const json: unknown = JSON.parse(text);
  const { schema: _, value, ...envelope } = Envelope.parse(json);
  if (value === undefined) return { record: { ...envelope, value: undefined, json: JSON.stringify(json) } };
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const { key, version, node, macs } = envelope;
    const problem = z.prettifyError(parsed.error);
    return { unreadable: { key, version, node, macs, problem, json: JSON.stringify(json) } };
  }
  return { record: { ...envelope, value: deepFreeze(parsed.data), json: JSON.stringify(json) } };
}

function withMacs(text: string, seal: Seal | undefined): string {
  const macs = seal?.macs(sealedText(text)) ?? [];
  return macs.length === 0 ? text : JSON.stringify({ ...JSON.parse(text), macs });
}

/** Which change made a version, as far as the record remembers. */
export function writeIdOf(record: RecordHistory, version: number): string | undefined {
  return version === record.version ? record.writeId : record.previous[record.version - version - 1];
}

/**
 * How the stream's record relates to the one that this node holds. `newer`, `same` or `older` by version. `fork`:
 * neither comes from the other; the higher version stays, at the same version the stream's.
 */
export function compare(
  held: ReplicatedRecord<unknown>,
  arrived: ReplicatedRecord<unknown>,
): { order: 'newer' | 'same' | 'older'; fork: boolean } {
  const [low, high] = held.version < arrived.version ? [held, arrived] : [arrived, held];
  const known = writeIdOf(high, low.version);
  const fork = known !== undefined && known !== low.writeId;
  if (held.version === arrived.version) return { order: fork ? 'newer' : 'same', fork };
  return { order: arrived.version > held.version ? 'newer' : 'older', fork };
}

const digestOf = (json: string): string => createHash('sha256').update(json).digest('hex');

/** A record as it stands on disk. */
export function encodeStored(record: ReplicatedRecord<unknown>): Buffer {
  return Buffer.from(`{"version":1,"digest":"${digestOf(record.json)}","record":${record.json}}`);
}

const Stored = z.object({ version: z.literal(1), digest: z.string(), record: z.unknown() });

/** Read a record from disk. Throws when it is damaged. */
export function decodeStored<T>(schema: z.ZodType<T>, key: string, bytes: Buffer): Parsed<T> {
  const stored = Stored.parse(JSON.parse(bytes.toString()));
  const json = JSON.stringify(stored.record);
  if (digestOf(json) !== stored.digest) throw new Error('its digest does not match');
  const parsed = parseRecord(schema, json);
  const found = 'record' in parsed ? parsed.record.key : parsed.unreadable.key;
  if (found !== key) throw new Error(`it is about ${found}`);
  return parsed;
}

function deepFreeze<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
  return value;
}
