import type { z } from 'zod';
import { parseRecord, type ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';
import { implausible, refuseArrived, type Seal } from './seal.ts';

/** The newest authentic one of copies that other nodes have of a record, where it is newer than the one that is held. */
export function newestCopy<T>(
  { schema, records, seal }: { schema: z.ZodType<T>; records: ReplicatedRecords<T>; seal?: Seal | undefined },
  key: string,
  copies: readonly string[],
): { record: ReplicatedRecord<T>; copy: number } | undefined {
  let best: { record: ReplicatedRecord<T>; copy: number } | undefined;
  for (const [copy, json] of copies.entries()) {
    const record = readCopy(schema, json);
    const version = best?.record.version ?? records.get(key)?.version ?? 0;
    if (record?.key !== key || implausible(record.version, version) !== undefined) continue;
    if (refuseArrived(seal, records.sealed, record) !== undefined) continue;
    if (record.version > version) best = { record, copy };
  }
  return best;
}

/** A record as another node sent it; undefined where it is none that this program can read. */
function readCopy<T>(schema: z.ZodType<T>, json: string): ReplicatedRecord<T> | undefined {
  try {
    const parsed = parseRecord(schema, json);
    return 'record' in parsed ? parsed.record : undefined;
  } catch {
    return undefined;
  }
}
