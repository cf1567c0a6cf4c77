import type { z } from 'zod';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Logger } from '#shared/log.ts';
import type { Role } from '../contract.ts';
import type { Clients } from '../reports/clients.ts';
import type { TrafficWatch } from '../reports/traffic/watch.ts';
import type { Bounds, Person } from './access.ts';

/**
 * How a route of the API is declared. To add an area:
 *
 *   1. `api/<area>.ts`, or `api/<area>/routes.ts` where it has more files, exports a list: `keyRoutes = [route({ … }), …]`
 *   2. `api/areas.ts` names the list
 *   3. the schemas that the page needs too stand in `schemas/<area>.ts`; the page imports their types alone
 *
 * Everything else follows from the declaration: who may ask, what is parsed, what is answered, its place in OpenAPI, and the
 * test that asks every route as everybody. What needs more than a few lines is a report (`../reports`), which the command
 * line uses too.
 *
 * - A request that does not fit its schemas is answered 422 before the handler sees it. What stands in a path or a query is
 *   text: `z.coerce.number()`. Strict objects refuse what they do not know.
 * - The reply is parsed by its schema: what that does not name does not leave the process.
 * - `SealpostError`s become answers by `http/errors.ts`; anything else is a bug: 500, and logged.
 * - `access: 'operator'` where it changes something, or shows the text of mail. Whatever is not GET also needs the header
 *   fields that only a page of ours can send (`http/guard.ts`).
 * - Domain administrators are refused unless `domains: 'filtered'` says that the handler asks `bounds` about all that it
 *   shows and changes.
 * - Calls that change something go through `clients`: the audit log names the person.
 */

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A route, whatever its schemas. */
export type Route = {
  method: Method;
  /** Below /api, with `:name` for its parameters. */
  path: `/api/${string}`;
  /** One line for OpenAPI. */
  summary: string;
  access: Role;
  /** Default: `refused`. */
  domains?: 'filtered' | 'refused';
  params?: z.ZodType | undefined;
  query?: z.ZodType | undefined;
  body?: z.ZodType | undefined;
  reply: z.ZodType;
  /** Largest body in bytes, where 64 KiB is too little. */
  bodyLimit?: number;
  /** Requests of one address in a minute, where few do. */
  perMinute?: number;
  handler(context: Context): unknown;
};

/** What a handler knows. `P`, `Q`, `B`: what its schemas made of parameters, query and body. */
export type Context<P = unknown, Q = unknown, B = unknown> = Asked & {
  params: P;
  query: Q;
  body: B;
};

export type Asked = {
  person: Person;
  bounds: Bounds;
  /** Every service, asked in the name of the person. */
  clients: Clients;
  /** In force in this process. Secrets of other services are not in it. */
  config: Config;
  /** Where relative paths of its file start. */
  folder: string;
  /** Mail as it happens. */
  traffic: TrafficWatch;
  log: Logger;
  /** Aborted when the client is gone: what takes long should end then. */
  signal: AbortSignal;
};

type Schema = z.ZodType | undefined;
type Parsed<S extends Schema> = S extends z.ZodType ? z.output<S> : undefined;

/** Declares a route. The reply is checked against its schema when this compiles, and when it runs. */
export function route<R extends z.ZodType, P extends Schema, Q extends Schema, B extends Schema>(
  spec: Omit<Route, 'params' | 'query' | 'body' | 'reply' | 'handler'> & {
    params?: P;
    query?: Q;
    body?: B;
    reply: R;
    handler(context: Context<Parsed<P>, Parsed<Q>, Parsed<B>>): z.input<R> | Promise<z.input<R>>;
  },
): Route {
  return spec as unknown as Route;
}

/**
 * What `GET /api/events?follow=<name>` tells while it is open, as server-sent events of that name. `begin` calls `send` now and
 * whenever there is news, and returns the way to stop. Names follow each other with commas; they share the query.
 */
export type EventSource = {
  name: string;
  summary: string;
  access: Role;
  domains?: 'filtered' | 'refused';
  /** Not strict: it sees what others of the same stream ask. */
  query?: z.ZodType | undefined;
  data: z.ZodType;
  begin(context: Asked & { query: unknown }, send: (data: unknown) => void): () => void;
};

export function events<D extends z.ZodType, Q extends Schema>(
  spec: Omit<EventSource, 'query' | 'data' | 'begin'> & {
    query?: Q;
    data: D;
    begin(context: Asked & { query: Parsed<Q> }, send: (data: z.input<D>) => void): () => void;
  },
): EventSource {
  return spec as unknown as EventSource;
}
