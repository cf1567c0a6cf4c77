import { z } from 'zod';
import { parseNetwork } from '#shared/address/ip-address.ts';
import type { Problem } from './problems/problem.ts';
import { suggest } from './problems/suggest.ts';
import { type Config, ConfigSchema } from './schema/schema.ts';

/**
 * Groups of hosts and domains (section `groups`), put in the place of the `group:NAME` that stands for them. Services see
 * lists without groups.
 *
 * Which lists may name groups, and of which kind, the schema says: by `group` in the meta of their entries.
 */

const KINDS = { hosts: 'hosts', networks: 'hosts', domains: 'domains' } as const;
type Kind = keyof typeof KINDS;

/** A `group:NAME` in a list. */
type Reference = { kind: Kind; name: string; path: PropertyKey[] };

/** `group:NAME` that cannot be what it stands for. */
export function groupProblems(config: Config): Problem[] {
  const problems: Problem[] = [];
  mapLists(ConfigSchema, config, [], (reference) => {
    const message = problemOf(reference, config.groups);
    if (message !== undefined) problems.push({ path: reference.path, message });
    return [];
  });
  return problems;
}

/** The configuration with every group in its place; a group that is not there is left out. */
export function expandGroups(config: Config): Config {
  return mapLists(ConfigSchema, config, [], ({ kind, name }) => members(config.groups, kind, name) ?? []) as Config;
}

function members(groups: Config['groups'], kind: Kind, name: string): string[] | undefined {
  const all = groups[KINDS[kind]];
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

function problemOf({ kind, name }: Reference, groups: Config['groups']): string | undefined {
  const found = members(groups, kind, name);
  if (found !== undefined) {
    const host = kind === 'networks' ? found.find((entry) => parseNetwork(entry) === undefined) : undefined;
    return host && `group "${name}" has the host name ${host}: this list takes addresses and networks only`;
  }
  const section = KINDS[kind];
  const other = section === 'hosts' ? 'domains' : 'hosts';
  if (Object.hasOwn(groups[other], name)) return `group "${name}" is one of ${other}, and this is a list of ${section}`;
  const known = Object.keys(groups[section]);
  const meant = suggest(name, known);
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  const all = known.length === 0 ? 'has no groups' : `has: ${known.join(', ')}`;
  return `unknown group "${name}"${hint}${meant === undefined ? ';' : ''} groups.${section} ${all}`;
}

/** A value of a schema, with what `replace` says in the place of each reference to a group. */
function mapLists(
  schema: unknown,
  value: unknown,
  path: PropertyKey[],
  replace: (reference: Reference) => string[],
): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return mapLists(schema.unwrap(), value, path, replace);
  }
  if (schema instanceof z.ZodObject && typeof value === 'object' && value !== null) {
    const shape = schema.shape as Record<string, unknown>;
    const entries = Object.entries(value).map(([key, inner]) => [
      key,
      mapLists(shape[key], inner, [...path, key], replace),
    ]);
    return Object.fromEntries(entries);
  }
  if (!(schema instanceof z.ZodArray) || !Array.isArray(value)) return value;
  const kind = (schema.element as z.ZodType).meta()?.['group'] as Kind | undefined;
  if (kind === undefined) return value.map((inner, i) => mapLists(schema.element, inner, [...path, i], replace));
  return value.flatMap((entry: string, i) =>
    entry.startsWith('group:') ? replace({ kind, name: entry.slice(6), path: [...path, i] }) : [entry],
  );
}
