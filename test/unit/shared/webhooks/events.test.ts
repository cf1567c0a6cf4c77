import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { Secret } from '#shared/secret.ts';
import {
  Alarm,
  bodyOf,
  EVENT_DATA,
  EVENT_FAMILIES,
  EVENT_TYPES,
  type EventType,
  typesOf,
} from '#shared/webhooks/events.ts';
import { signedHeaders } from '#shared/webhooks/signature.ts';
import { freePort } from '#test/kit/free-port.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { SECRET } from '#test/kit/webhooks/receiver.ts';

const PAGE = readFileSync(new URL('../../../../docs/operate/webhooks.md', import.meta.url), 'utf8');

const Example = z.strictObject({
  type: z.enum(Object.keys(EVENT_DATA) as EventType[]),
  timestamp: z.iso.datetime(),
  data: z.looseObject({}),
});

const blocks = (language: string): string[] =>
  [...PAGE.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map(([, text = '']) => text);
const examples = blocks('json').map((text) => Example.parse(JSON.parse(text)));
/** Whether two types have the same data. */
const isLike = (a: EventType, b: EventType): boolean => EVENT_DATA[a] === EVENT_DATA[b];

test('the examples in docs/operate/webhooks.md are what is sent, and each form of data has one with all its fields', () => {
  for (const { type, data } of examples) assert.doesNotThrow(() => EVENT_DATA[type].parse(data), type);
  const fields = (schema: z.ZodObject): string[] => Object.keys(schema.shape).toSorted();
  for (const type of Object.keys(EVENT_DATA) as EventType[]) {
    const shown = examples.filter((example) => isLike(example.type, type));
    const own = new Set(shown.flatMap(({ data }) => Object.keys(data)));
    // `message.deferred` has the fields of the others, and more.
    if (type === 'message.deferred')
      for (const { data } of examples) Object.keys(data).forEach((key) => void own.add(key));
    assert.deepEqual(
      fields(EVENT_DATA[type]).filter((field) => !own.has(field)),
      [],
      `fields of ${type} that no example has`,
    );
  }
});

test('docs/operate/webhooks.md says of every type and every alarm when it comes', () => {
  const rows = [...PAGE.matchAll(/^\| `([\w.-]+)` \|/gm)].map(([, name = '']) => name);
  assert.deepEqual(rows.toSorted(), [...EVENT_TYPES, ...Alarm.options].toSorted());
});

test('a body is the type, the time and the data', () => {
  const data = { node: 'edge-1', webhook: 'ops' };
  assert.deepEqual(JSON.parse(bodyOf({ id: 'x', type: 'webhook.test', at: 0, data })), {
    ...{ type: 'webhook.test', timestamp: '1970-01-01T00:00:00.000Z', data },
  });
});

test('a word of the configuration is a type, or all of a family', () => {
  assert.deepEqual([...typesOf(['alarm.*'])], ['alarm.raised', 'alarm.cleared']);
  assert.deepEqual([...typesOf(['message.failed', 'message.failed'])], ['message.failed']);
  assert.deepEqual(EVENT_FAMILIES, ['message.*', 'key.*', 'rotation.*', 'certificate.*', 'alarm.*']);
  assert.deepEqual([...typesOf(EVENT_FAMILIES)].toSorted(), EVENT_TYPES.toSorted());
});

test('the receiver in docs/operate/webhooks.md takes what is genuine, once, and nothing else', async () => {
  await using temp = await tempDir('receiver');
  const [script = ''] = blocks('js');
  const file = join(temp.path, 'receiver.mjs');
  await writeFile(file, script);
  const port = await freePort();
  const child = spawn(process.execPath, [file], { env: { PORT: String(port), WEBHOOK_SECRET: SECRET } });
  try {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const body = bodyOf({ id: 'x', type: 'webhook.test', at: Date.now(), data: { node: 'edge-1', webhook: 'ops' } });
    const post = async (now: number, sent = body): Promise<number> => {
      const headers = { ...signedHeaders('test_1', now, body, [new Secret(SECRET)]) };
      return (await fetch(`http://127.0.0.1:${port}`, { method: 'POST', headers, body: sent })).status;
    };
    await waitFor(() => post(Date.now()).then((status) => status === 204), { what: 'the receiver' });
    assert.equal(await post(Date.now()), 204);
    assert.equal(await post(Date.now() - 400_000), 401);
    assert.equal(await post(Date.now(), body.replace('edge-1', 'edge-2')), 401);
    assert.equal((await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })).status, 401);
    assert.equal(output, 'webhook.test {"node":"edge-1","webhook":"ops"}\n');
  } finally {
    child.kill();
  }
});
