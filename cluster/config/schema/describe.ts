import { z } from 'zod';
import { ConfigSchema } from './schema.ts';

/**
 * The part of JSON Schema that the configuration uses. `secret` marks what must not be shown, `kind` says what a text
 * is.
 */
export type JsonSchema = {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  secret?: boolean;
  kind?: string;
};

/** The configuration as JSON Schema, in the form in which it is written. */
export function jsonSchema(): JsonSchema {
  return z.toJSONSchema(ConfigSchema, { io: 'input' }) as JsonSchema;
}

/** One option for people: `queue.expire`, `text`, `5d`, what it means. */
export type OptionText = { path: string; type: string; default: string; explanation: string };

/** Every option of the configuration in the order of the schema. `[]` stands for the entries of a list. */
export function listOptions(schema: JsonSchema = jsonSchema(), path = '', required = false): OptionText[] {
  const own: OptionText = {
    path,
    type: typeName(schema),
    default: required ? 'required' : schema.default === undefined ? '' : JSON.stringify(schema.default),
    explanation: schema.description ?? '',
  };
  const list = memberOf(schema, 'array');
  const inner = list === undefined ? schema : memberOf(list.items ?? {}, 'object');
  if (inner?.properties === undefined) return [own];
  const prefix = list !== undefined ? `${path}[].` : path === '' ? '' : `${path}.`;
  const options = Object.entries(inner.properties).flatMap(([key, property]) =>
    listOptions(property, `${prefix}${key}`, inner.required?.includes(key)),
  );
  // A section without an explanation of its own says nothing that its options do not say.
  return list !== undefined || (path !== '' && own.explanation !== '') ? [own, ...options] : options;
}

/** The schema, or the member of a union, that is of a type; a union that is told by name has none. */
function memberOf(schema: JsonSchema, type: 'array' | 'object'): JsonSchema | undefined {
  if (schema.type === type) return schema;
  return schema.kind === undefined && !schema.secret ? schema.anyOf?.find((one) => one.type === type) : undefined;
}

function typeName(schema: JsonSchema): string {
  if (schema.kind !== undefined) return schema.kind;
  if (schema.enum !== undefined) return schema.enum.map(String).join(' | ');
  if (schema.const !== undefined) return String(schema.const);
  if (schema.secret) return 'secret';
  if (schema.anyOf !== undefined) {
    const kinds = new Set(schema.anyOf.map(typeName));
    // A word that texts include, such as `*`, is for the explanation to tell.
    return [...kinds].filter((kind) => kind !== '*' || !kinds.has('text')).join(' | ');
  }
  switch (schema.type) {
    case 'string':
      return 'text';
    case 'integer':
      return 'whole number';
    case 'boolean':
      return 'true | false';
    case 'array':
      return schema.items?.properties === undefined ? `list of ${grouped(typeName(schema.items ?? {}))}` : 'list';
    case 'object':
      return schema.properties === undefined ? 'section' : `{ ${Object.keys(schema.properties).join(', ')} }`;
    default:
      return schema.type ?? 'any';
  }
}

function grouped(type: string): string {
  return type.includes('{') ? type.replaceAll(' | ', ' or ') : type;
}

/**
 * A configuration as it is in force, in the form in which it is written: `data` from the file with all defaults
 * filled in, and without the text of secrets. Files and variables that secrets come from are shown.
 */
export function effective(data: unknown, schema: JsonSchema = jsonSchema()): unknown {
  if (schema.secret) return typeof data === 'string' ? '[secret]' : data;
  if (schema.anyOf !== undefined && typeof data === 'object' && data !== null) {
    const member = memberOf(schema, Array.isArray(data) ? 'array' : 'object');
    return member === undefined ? data : effective(data, member);
  }
  if (schema.properties !== undefined && typeof data === 'object' && data !== null) {
    const given = data as Record<string, unknown>;
    const filled = Object.entries(schema.properties)
      .map(([key, property]) => [key, effective(given[key] ?? property.default, property)] as const)
      .filter(([, value]) => value !== undefined);
    return Object.fromEntries(filled);
  }
  const { items } = schema;
  return items !== undefined && Array.isArray(data) ? data.map((entry) => effective(entry, items)) : data;
}
