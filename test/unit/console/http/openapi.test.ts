import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Fastify from 'fastify';
import { z } from 'zod';
import { EVENTS, ROUTES } from '#services/console/api/areas.ts';
import { describeApi, describeEvents, describeRoute } from '#services/console/http/openapi.ts';

/** The description of the API: what it says of each route, and that it is OpenAPI 3.1 with JSON Schemas that can be read. */

type Parameter = { name: string; in: string; required?: boolean; schema: z.core.JSONSchema.JSONSchema };
type Content = { content?: { 'application/json'?: { schema: z.core.JSONSchema.JSONSchema } } };
type Operation = {
  summary: string;
  parameters?: Parameter[];
  requestBody?: Content;
  responses: Record<string, Content & { description: string }>;
};
type Description = { openapi: string; info: { title: string }; paths: Record<string, Record<string, Operation>> };

async function description(): Promise<Description> {
  const app = Fastify();
  await describeApi(app);
  const handler = async (): Promise<object> => ({});
  for (const route of ROUTES)
    app.route({ method: route.method, url: route.path, schema: describeRoute(route), handler });
  app.route({ method: 'GET', url: '/api/events', schema: describeEvents(), handler });
  await app.ready();
  const text = JSON.stringify(app.swagger());
  await app.close();
  return JSON.parse(text) as Description;
}

const described = await description();

describe('the description', () => {
  test('is OpenAPI 3.1', () => {
    assert.equal(described.openapi, '3.1.0');
    assert.ok(described.info.title.length > 0);
  });

  for (const { method, path, summary, query, body } of ROUTES) {
    test(`has ${method} ${path}`, () => {
      const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
      const operation = described.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
      assert.equal(operation?.summary, summary);
      assert.match(summary, /^[A-Z].*[^.]$/);
      const parameters = operation?.parameters ?? [];
      const inPath = parameters.filter((one) => one.in === 'path');
      assert.deepEqual(inPath.map(({ name }) => name).toSorted(), names.toSorted());
      assert.ok(inPath.every(({ required }) => required === true));
      assert.equal(parameters.some((one) => one.in === 'query') || query === undefined, true);
      assert.equal(operation?.requestBody !== undefined, body !== undefined);
      const contents = [operation?.requestBody, ...Object.values(operation?.responses ?? {})];
      const schemas = [
        ...parameters.map((one) => one.schema),
        ...contents.map((one) => one?.content?.['application/json']?.schema),
      ].filter((schema) => schema !== undefined);
      assert.ok(schemas.length >= 2, 'the reply and the error at least');
      for (const schema of schemas) z.fromJSONSchema(schema);
    });
  }

  test('names every event', () => {
    const text = JSON.stringify(described.paths['/api/events']);
    for (const { name, summary } of EVENTS) assert.ok(text.includes(`${name}: ${summary}`));
  });
});
