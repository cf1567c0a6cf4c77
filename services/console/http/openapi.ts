import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { z } from 'zod';
import { VERSION } from '#cluster/version.ts';
import { EVENTS } from '../api/areas.ts';
import type { Route } from '../api/route.ts';
import type { HttpDeps } from './deps.ts';
import { admit, COOKIE } from './guard.ts';

/** The API described by OpenAPI 3.1, made from the schemas that parse it: `GET /api/openapi.json`. */

const ErrorReply = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** Schemas are for people and programs to read: zod parses (`api.ts`), so fastify checks and writes nothing by itself. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sealpost console',
        version: VERSION,
        description:
          'Programs show a token of console.tokens as bearer token. In a browser a session needs, for whatever is not GET, the header field x-sealpost: 1.',
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer' },
          session: { type: 'apiKey', in: 'cookie', name: COOKIE },
        },
      },
      security: [{ token: [] }, { session: [] }],
    },
  });
}

export function serveDescription(app: FastifyInstance, deps: HttpDeps): void {
  app.route({
    method: 'GET',
    url: '/api/openapi.json',
    schema: { summary: 'This description', response: { 200: { type: 'object', additionalProperties: true } } },
    preParsing: async (request) => {
      request.signedIn = admit(request, { access: 'viewer', domains: 'filtered' }, deps);
    },
    handler: async () => app.swagger(),
  });
}

type Described = Pick<Route, 'path' | 'summary' | 'access' | 'domains' | 'params' | 'query' | 'body' | 'reply'>;

export function describeRoute(route: Described): FastifySchema {
  const { summary, access, domains = 'refused', params, query, body, reply } = route;
  const bounded =
    domains === 'filtered' ? 'Domain administrators see their domains.' : 'Not for domain administrators.';
  return {
    summary,
    description: `For ${access === 'viewer' ? 'viewers and operators' : 'operators'}. ${bounded}`,
    tags: [route.path.split('/')[2] ?? 'api'],
    ...(params && { params: jsonSchema(params, 'input') }),
    ...(query && { querystring: jsonSchema(query, 'input') }),
    ...(body && { body: jsonSchema(body, 'input') }),
    response: { 200: jsonSchema(reply, 'output'), default: jsonSchema(ErrorReply, 'output') },
  };
}

/** Of `GET /api/events`. */
export function describeEvents(): FastifySchema {
  const lines = EVENTS.map(({ name, summary }) => `${name}: ${summary}`);
  return {
    summary: 'What happens, as server-sent events',
    description: `One event a message, its data in JSON. To follow:\n\n${lines.join('\n')}`,
    tags: ['events'],
    querystring: {
      type: 'object',
      properties: { follow: { type: 'string', description: 'names of events, separated by commas' } },
      required: ['follow'],
    },
    response: { 200: { description: 'text/event-stream', type: 'string' }, default: jsonSchema(ErrorReply, 'output') },
  };
}

export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return described;
}
