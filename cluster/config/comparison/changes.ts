import { createHmac } from 'node:crypto';
import { stringify } from 'yaml';
import { Secret } from '#shared/secret.ts';
import { cut } from '#shared/text.ts';
import { formatDuration, formatSize } from '#shared/units.ts';
import { listOptions } from '../schema/describe.ts';
import type { Config } from '../schema/schema.ts';
import { describeSource, sourceOf } from '../secrets.ts';
import { isReadAtStart } from '../watch.ts';

/**
 * What differs between two configurations, for people: the options, before and after, and whether a running node follows.
 * Nothing of a secret is shown but where it comes from.
 */

/** `before` is absent of what was added, `after` of what was taken out. */
export type Change = { path: string; before?: string; after?: string; effect: Effect };
/** `restart`: it is read at the start alone, so a running node refuses a file with it. */
export type Effect = 'now' | 'restart';

/** A configuration as plain data, which threads can pass on. Those with the same `salt` can be compared. */
export type Comparable = Section | Comparable[] | string | number | boolean | null;
type Section = { [name: string]: Comparable };
/** A value that is not shown; `digest` tells it from others. */
type Hidden = { $hidden: string; digest: string };

/** Characters of a value that are shown. */
const LONGEST_VALUE = 300;

/** The path of a webhook may have a token in it, so its host alone is shown. */
export const shownUrl = (url: string): string => `${new URL(url).origin}/[secret]`;

export function comparable(config: Config, salt: string): Comparable {
  const digest = (text: string): string => createHmac('sha256', salt).update(text).digest('hex');
  const webhooks = config.webhooks.map((webhook) => ({
    ...webhook,
    url: { $hidden: shownUrl(webhook.url), digest: digest(webhook.url) },
  }));
  return plain({ ...config, webhooks }, digest);
}

function plain(value: unknown, digest: (text: string) => string): Comparable {
  if (value instanceof Secret) {
    // A secret that this process does not read is known by its place, so all that have one are.
    const source = sourceOf(value);
    const shown = source === undefined ? '[secret]' : `[secret of ${describeSource(source)}]`;
    return { $hidden: shown, digest: digest(source === undefined ? value.reveal() : shown) };
  }
  if (Array.isArray(value)) return value.map((one) => plain(one, digest));
  if (typeof value !== 'object' || value === null) return value as Comparable;
  const given = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(given.map(([key, one]) => [key, plain(one, digest)]));
}

/** In the order of the schema. */
export function changesBetween(before: Comparable, after: Comparable): Change[] {
  const types = new Map(listOptions().map(({ path, type }) => [path, type]));
  return differences(before, after, '').map(({ path, before: old, after: next }) => ({
    path,
    ...(old !== undefined && { before: shown(old, path, types) }),
    ...(next !== undefined && { after: shown(next, path, types) }),
    effect: isReadAtStart(path) ? 'restart' : 'now',
  }));
}

type Difference = { path: string; before?: Comparable; after?: Comparable };
type Value = Comparable | undefined;

function differences(before: Value, after: Value, path: string): Difference[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) return ofLists(before, after, path);
  if (isSection(before) && isSection(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
  }
  return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
}

function isHidden(value: unknown): value is Hidden {
  return typeof value === 'object' && value !== null && '$hidden' in value;
}

function isSection(value: Value): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isHidden(value);
}

/** Entries with a name are compared with that of the same name; of others, those that came and went are told. */
function ofLists(before: readonly Comparable[], after: readonly Comparable[], path: string): Difference[] {
  const key = NAMES.find((name) => [before, after].every((list) => isNamedBy(list, name)));
  if (key !== undefined) {
    const [old, next] = [byName(before, key), byName(after, key)];
    const names = [...new Set([...old.keys(), ...next.keys()])];
    return names.flatMap((name) => differences(old.get(name), next.get(name), `${path}[${name}]`));
  }
  const gone = without(before, after);
  const come = without(after, before);
  if (gone.length === 0 && come.length === 0) return [{ path, before: [...before], after: [...after] }];
  // One entry for one: what differs within it says more.
  if (gone.length === 1 && come.length === 1 && isSection(gone[0]) && isSection(come[0]))
    return differences(gone[0], come[0], `${path}[${before.indexOf(gone[0])}]`);
  return [...gone.map((one) => ({ path, before: one })), ...come.map((one) => ({ path, after: one }))];
}

const NAMES = ['name', 'user'];

function isNamedBy(list: readonly Comparable[], key: string): boolean {
  const names = list.map((entry) => entryValue(entry, key));
  return names.every((name) => typeof name === 'string') && new Set(names).size === names.length;
}

const byName = (list: readonly Comparable[], key: string): Map<string, Comparable> =>
  new Map(list.map((entry) => [String(entryValue(entry, key)), entry]));

const entryValue = (entry: Comparable, key: string): Value => (isSection(entry) ? entry[key] : undefined);

/** The entries of a list that another one lacks; an entry that is there twice counts twice. */
function without(list: readonly Comparable[], other: readonly Comparable[]): Comparable[] {
  const left = other.map((one) => JSON.stringify(one));
  return list.filter((one) => {
    const at = left.indexOf(JSON.stringify(one));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function shown(value: Comparable, path: string, types: ReadonlyMap<string, string>): string {
  const type = types.get(path.replaceAll(/\[[^\]]*\]/g, '[]')) ?? '';
  if (typeof value === 'number' && type.startsWith('duration')) return formatDuration(value);
  if (typeof value === 'number' && type.startsWith('size')) return formatSize(value);
  const bare: unknown = JSON.parse(JSON.stringify(value, (_, one: unknown) => (isHidden(one) ? one.$hidden : one)));
  const text = typeof bare === 'string' ? bare : stringify(bare, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
  return cut(text, LONGEST_VALUE);
}
