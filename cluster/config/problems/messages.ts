import { z } from 'zod';
import type { Problem } from './problem.ts';
import { suggest } from './suggest.ts';

/**
 * Turns the issues that zod found into sentences for administrators. The schema's own messages (custom issues,
 * `error` texts) are sentences already and stay as they are.
 */
export function explainIssue(issue: z.core.$ZodIssue, schema: z.ZodType): Problem[] {
  const path = [...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, path);
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(key, known) }));
  }
  if (issue.input === null) return [{ path, message: 'is empty: give it a value or remove the key' }];
  const branch = issue.code === 'invalid_union' && issue.message === 'Invalid input' ? fitting(issue) : undefined;
  if (branch !== undefined)
    return branch.flatMap((inner) => explainIssue({ ...inner, path: [...path, ...inner.path] }, schema));
  return [{ path, message: sentence(issue) }];
}

/** What is wrong with a value in the form that it was given in, a text, a list or keys; else with the first form. */
function fitting({ errors }: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] | undefined {
  const isWrongForm = ({ code, path }: z.core.$ZodIssue): boolean => code === 'invalid_type' && path.length === 0;
  return errors.find((issues) => !issues.some(isWrongForm)) ?? errors[0];
}

function unknownKey(key: string, known: string[]): string {
  const meant = suggest(key, known);
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  return `unknown key${hint}${meant === undefined ? ';' : ''} known keys here: ${known.join(', ')}`;
}

function sentence(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input, issue.message);
    case 'invalid_value': {
      const words = issue.values.map((v) => JSON.stringify(v));
      if (issue.input === undefined) return `is required (${orList(words)})`;
      const meant = typeof issue.input === 'string' ? suggest(issue.input, issue.values.map(String)) : undefined;
      return `expected ${orList(words)}, got ${show(issue.input)}${meant === undefined ? '' : `; did you mean "${meant}"?`}`;
    }
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      return issue.origin === 'array'
        ? `needs at least ${issue.minimum} ${issue.minimum === 1 ? 'entry' : 'entries'}`
        : `must be at least ${issue.minimum}, got ${show(issue.input)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, got ${show(issue.input)}`;
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message;
    case 'invalid_format':
      return `${show(issue.input)} does not fit: ${issue.message}`;
    default:
      return issue.message;
  }
}

const TYPES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys with values',
  record: 'keys with values',
};

function wrongType(expected: string, input: unknown, message: string): string {
  const type = TYPES[expected] ?? expected;
  // A schema with its own `error` text describes better what is expected.
  if (!message.startsWith('Invalid input')) return input === undefined ? 'is required' : message;
  if (input === undefined) return `is required (${type})`;
  const quote = expected === 'string' && typeof input !== 'object' ? ': put it in quotes' : '';
  return `expected ${type}, got ${show(input)}${quote}`;
}

/** A value in an error text: short, and what it is where it cannot be shown. */
function show(input: unknown): string {
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'keys with values';
  const text = JSON.stringify(input) ?? String(input);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function orList(words: string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** The keys that the schema knows at a path. */
export function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = unwrap(schema);
  for (const key of path) {
    at = option(at, typeof key === 'number' ? z.ZodArray : z.ZodObject);
    if (at instanceof z.ZodObject) at = unwrap((at.shape as Record<PropertyKey, unknown>)[key]);
    else if (at instanceof z.ZodArray) at = unwrap(at.element);
    else return [];
  }
  at = option(at, z.ZodObject);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** Of a union, the member of a kind. */
function option(schema: unknown, kind: typeof z.ZodArray | typeof z.ZodObject): unknown {
  return schema instanceof z.ZodUnion ? schema.options.map(unwrap).find((one) => one instanceof kind) : schema;
}

function unwrap(schema: unknown): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return unwrap(schema.unwrap());
  return schema instanceof z.ZodPipe ? unwrap(schema.in) : schema;
}
