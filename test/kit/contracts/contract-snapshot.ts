import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Contract } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';

/**
 * What a contract looked like when it was last accepted, and whether what it says now is understood by processes that
 * know only that. Both sides of every message may be the older one: so a field that is there must stay as it is, and
 * another may be new only if it may be absent. The snapshots are checked in; `npm run accept-contracts` writes them.
 */

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

export type Snapshot = { operations: JsonObject; events: JsonObject };

/** Says nothing about what fits. */
const REMARKS = new Set(['$schema', 'description', 'title', 'default']);

export const snapshotFile = ({ name, version }: Contract): string =>
  fileURLToPath(new URL(`../../contracts/${name}-v${version}.json`, import.meta.url));

/** A contract as it is now. */
export function snapshotOf({ operations, events }: Contract): Snapshot {
  return {
    operations: Object.fromEntries(
      Object.entries(operations).map(([name, { request, reply, bytes }]) => [
        name,
        { request: schema(request), reply: schema(reply), ...(bytes !== undefined && { bytes }) },
      ]),
    ),
    events: Object.fromEntries(Object.entries(events).map(([name, event]) => [name, schema(event)])),
  };
}

/** What a reader of a message demands of it. */
function schema(type: z.ZodType): JsonObject {
  const { $schema: _, ...rest } = z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' });
  return rest as JsonObject;
}

/** Undefined where none was accepted yet. */
export async function readSnapshot(contract: Contract): Promise<Snapshot | undefined> {
  try {
    return JSON.parse(await readFile(snapshotFile(contract), 'utf8')) as Snapshot;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export async function writeSnapshot(contract: Contract): Promise<void> {
  await writeFile(snapshotFile(contract), `${JSON.stringify(snapshotOf(contract), null, 1)}\n`);
}

/** Why processes that know only `before` and those that know `now` would not understand each other; empty: they do. */
export function incompatibilities(before: Snapshot, now: Snapshot): string[] {
  return (['operations', 'events'] as const).flatMap((kind) =>
    Object.entries(before[kind]).flatMap(([name, old]) => {
      const current = now[kind][name];
      return current === undefined ? [`${name} is gone, and older processes use it`] : compare(name, old, current);
    }),
  );
}

function compare(path: string, before: Json, now: Json): string[] {
  if (isObject(before) && isObject(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return [
      ...properties(path, before, now),
      ...keys
        .filter((key) => !REMARKS.has(key) && key !== 'properties' && key !== 'required')
        .flatMap((key) => compare(`${path}.${key}`, before[key] ?? null, now[key] ?? null)),
    ];
  }
  if (Array.isArray(before) && Array.isArray(now) && before.length === now.length) {
    return before.flatMap((entry, i) => compare(`${path}[${i}]`, entry, now[i] ?? null));
  }
  return before === now ? [] : [`${path} was ${JSON.stringify(before)} and is ${JSON.stringify(now)}`];
}

function properties(path: string, before: JsonObject, now: JsonObject): string[] {
  const [old, current] = [fieldsOf(before), fieldsOf(now)];
  const [needed, needs] = [requiredOf(before), requiredOf(now)];
  const strict = before['additionalProperties'] === false;
  return [
    ...Object.entries(old).flatMap(([name, type]) => {
      const field = `${path}.${name}`;
      const next = current[name];
      if (next === undefined) return needed.has(name) ? [`${field} is gone, and older processes need it`] : [];
      const change =
        needed.has(name) === needs.has(name)
          ? []
          : [
              `${field} ${needs.has(name) ? 'must be there now, and older processes may leave it out' : 'may be absent now, and older processes need it'}`,
            ];
      return [...change, ...compare(field, type, next)];
    }),
    ...Object.keys(current)
      .filter((name) => !Object.hasOwn(old, name) && (needs.has(name) || strict))
      .map(
        (name) =>
          `${path}.${name} is new: older processes ${strict ? 'refuse it' : 'do not send it, so it must be optional or have a default'}`,
      ),
  ];
}

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const fieldsOf = ({ properties: fields = {} }: JsonObject): JsonObject => fields as JsonObject;
const requiredOf = ({ required = [] }: JsonObject): Set<Json> => new Set(required as string[]);

/** What to tell the author of such a change. */
export function refusal(contract: Contract, problems: readonly string[]): string {
  const { name, version } = contract;
  return [
    `contract ${name} v${version} changed in a way that processes of the version before do not understand:`,
    ...problems.map((problem) => `  ${problem}`),
    `Change it otherwise, or make it version ${version + 1} with this one as its previous (cluster/contract-versions.ts). Where no`,
    `release has had it yet, remove ${snapshotFile(contract)} and run "npm run accept-contracts".`,
  ].join('\n');
}
