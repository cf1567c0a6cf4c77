import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { test } from 'node:test';
import {
  decodeEvent,
  decodeReply,
  decodeRequest,
  encodeEvent,
  encodeReply,
  encodeRequest,
} from '#cluster/bus/frame.ts';
import { SealpostError } from '#shared/errors.ts';

const decoders = { request: decodeRequest, reply: decodeReply, event: decodeEvent };
const HEAD_FIELDS = new Set([
  'no known field',
  'a timeout that is no number',
  'a trace that is no text',
  'an ok that is neither',
  'an error without code',
]);
const malformed = (error: unknown) => error instanceof SealpostError && error.code === 'malformed';

/** A frame with any JSON text. */
function frame(json: string | Uint8Array, { version = 1, length = -1, bytes = '' } = {}): Uint8Array {
  const body = typeof json === 'string' ? Buffer.from(json) : json;
  const prefix = Buffer.from([version, 0, 0, 0, 0]);
  prefix.writeUInt32BE(length < 0 ? body.length : length, 1);
  return Buffer.concat([prefix, body, Buffer.from(bytes)]);
}

for (const [name, input] of [
  ['nothing', new Uint8Array(0)],
  ['half a prefix', Uint8Array.of(1, 0, 0)],
  ['another version', frame('{"timeout":1,"ok":true}', { version: 2 })],
  ['version 0', frame('{"timeout":1,"ok":true}', { version: 0 })],
  ['a length beyond the end', frame('{}', { length: 3 })],
  ['the greatest length', frame('{}', { length: 0xffffffff })],
  ['no JSON at all', frame('')],
  ['text that is no JSON', frame('hello')],
  ['two JSON values', frame('{}{}')],
  ['a byte order mark', frame('\ufeff{"timeout":1}')],
  ['invalid UTF-8', frame(Buffer.from('7b2261223a22ff227d', 'hex'))],
  ['null', frame('null')],
  ['an array', frame('[]')],
  ['no known field', frame('{}')],
  ['deep nesting', frame('['.repeat(300_000))],
  ['a timeout that is no number', frame('{"timeout":"1"}')],
  ['a trace that is no text', frame('{"timeout":1,"trace":{}}')],
  ['an ok that is neither', frame('{"ok":"true","fields":{}}')],
  ['an error without code', frame('{"ok":false,"message":"x"}')],
  ['an error with bytes', frame('{"ok":false,"code":"x","message":"x"}', { bytes: 'x' })],
  ['an event with bytes', frame('{"payload":1}', { bytes: 'x' })],
] as [string, Uint8Array][]) {
  for (const [kind, decode] of Object.entries(decoders)) {
    // An event's fields are its payload's schema to judge.
    if (kind === 'event' && HEAD_FIELDS.has(name)) continue;
    test(`${name} is no ${kind}`, () => {
      assert.throws(() => decode(input), malformed);
    });
  }
}

test('random bytes give a message or malformed, nothing else', () => {
  const seeds = [
    encodeRequest({ fields: { a: [1, 'x'] }, bytes: randomBytes(20), trace: 'T', timeout: 1 }),
    encodeReply({ ok: true, fields: { a: 1 }, bytes: randomBytes(20) }),
    encodeReply({ ok: false, code: 'full', message: 'no' }),
    encodeEvent({ revision: 1 }),
  ];
  let decoded = 0;
  for (let i = 0; i < 20_000; i++) {
    const input = Buffer.from(i % 5 === 0 ? randomBytes(randomInt(64)) : (seeds[i % seeds.length] ?? []));
    for (let flips = randomInt(4); flips > 0 && input.length > 0; flips--) {
      input[randomInt(input.length)] = randomInt(256);
    }
    for (const decode of Object.values(decoders)) {
      try {
        decode(input);
        decoded++;
      } catch (error) {
        assert.ok(malformed(error), `${input.toString('hex')}: ${error}`);
      }
    }
  }
  assert.ok(decoded > 0);
});

test('a message cut short anywhere in its head is malformed; cut in its bytes it has fewer of them', () => {
  const bytes = randomBytes(10);
  const whole = encodeReply({ ok: true, fields: { a: 1 }, bytes });
  const head = whole.length - bytes.length;
  for (let length = 0; length < whole.length; length++) {
    const cut = whole.subarray(0, length);
    if (length < head) assert.throws(() => decodeReply(cut), malformed);
    else
      assert.deepEqual(decodeReply(cut), {
        ok: true,
        fields: { a: 1 },
        bytes: Uint8Array.from(bytes.subarray(0, length - head)),
      });
  }
});

test('messages come out as they went in', () => {
  const bytes = Uint8Array.from(randomBytes(1000));
  const fields = { text: 'naïve \ud83d\udcee \ud800 \u0000', nothing: null, list: [{ __proto__x: 1 }] };
  assert.deepEqual(decodeRequest(encodeRequest({ fields, bytes, trace: 'T1', timeout: 500 })), {
    fields,
    bytes,
    trace: 'T1',
    timeout: 500,
  });
  assert.deepEqual(decodeReply(encodeReply({ ok: true, fields, bytes })), { ok: true, fields, bytes });
  const error = { ok: false, code: 'full', message: 'no room' } as const;
  assert.deepEqual(decodeReply(encodeReply(error)), error);
  assert.deepEqual(decodeEvent(encodeEvent(fields)), fields);
});

test('a field that only a newer node knows is passed over', () => {
  assert.equal(decodeRequest(frame('{"timeout":5,"priority":1,"fields":{"a":1}}')).timeout, 5);
});

test('what is absent comes out as absent', () => {
  const request = decodeRequest(encodeRequest({ fields: undefined, timeout: 1 }));
  assert.deepEqual([request.fields, request.trace, request.bytes?.length], [undefined, undefined, 0]);
  assert.deepEqual(decodeEvent(encodeEvent(undefined)), undefined);
});

test('bytes are neither escaped nor encoded: the frame grows by exactly their number', () => {
  const none = encodeReply({ ok: true, fields: {} });
  assert.equal(encodeReply({ ok: true, fields: {}, bytes: randomBytes(1000) }).length, none.length + 1000);
});

test('decoded bytes are a view into the input, without a copy', () => {
  const input = encodeReply({ ok: true, fields: {}, bytes: Uint8Array.of(1, 2, 3) });
  const reply = decodeReply(input);
  input[input.length - 1] = 9;
  assert.deepEqual(reply.ok && reply.bytes, Uint8Array.of(1, 2, 9));
});
