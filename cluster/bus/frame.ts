import { z } from 'zod';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { BusReply, BusRequest } from './bus.ts';

/**
 * A bus message as bytes:
 *
 *   1 byte   version of this form
 *   4 bytes  length of the JSON, big-endian
 *   n bytes  JSON in UTF-8: the fields
 *   rest     a byte string beside them, unchanged
 *
 * So a body is copied once and never becomes text. The decoders are total: any input gives a message that has
 * exactly the expected fields, or a `malformed` error. Decoded bytes are a view into the input.
 */
const VERSION = 1;
const PREFIX = 5;

// Unknown fields are ignored: a newer node may send them (rolling upgrade).
const RequestHead = z.object({
  /**
   * Milliseconds that the caller waits. Not a time of day: nodes whose clocks differ must still understand each other.
   */
  timeout: z.number(),
  trace: z.string().optional(),
  by: z.string().optional(),
  fields: z.unknown().optional(),
});
const ReplyHead = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), fields: z.unknown().optional() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string(), elsewhere: z.boolean().optional() }),
]);
const EventHead = z.object({ payload: z.unknown().optional() });

export function encodeRequest({ timeout, trace, by, fields, bytes }: BusRequest): Uint8Array {
  return encode({ timeout, trace, by, fields }, bytes);
}

export function decodeRequest(frame: Uint8Array): BusRequest {
  const { head, bytes } = decode(frame, RequestHead);
  return {
    fields: head.fields,
    bytes,
    trace: head.trace,
    timeout: head.timeout,
    ...(head.by !== undefined && { by: head.by }),
  };
}

export function encodeReply(reply: BusReply): Uint8Array {
  return reply.ok
    ? encode({ ok: true, fields: reply.fields }, reply.bytes)
    : encode({ ok: false, code: reply.code, message: reply.message, elsewhere: reply.elsewhere });
}

export function decodeReply(frame: Uint8Array): BusReply {
  const { head, bytes } = decode(frame, ReplyHead);
  if (head.ok) return { ok: true, fields: head.fields, bytes };
  if (bytes.length > 0) throw malformed('an error carries no bytes');
  return head;
}

export function encodeEvent(payload: unknown): Uint8Array {
  return encode({ payload });
}

export function decodeEvent(frame: Uint8Array): unknown {
  const { head, bytes } = decode(frame, EventHead);
  if (bytes.length > 0) throw malformed('an event carries no bytes');
  return head.payload;
}

function encode(head: unknown, bytes?: Uint8Array): Uint8Array {
  const json = JSON.stringify(head);
  const length = Buffer.byteLength(json);
  const frame = Buffer.allocUnsafe(PREFIX + length + (bytes?.length ?? 0));
  frame[0] = VERSION;
  frame.writeUInt32BE(length, 1);
  frame.write(json, PREFIX);
  if (bytes !== undefined) frame.set(bytes, PREFIX + length);
  return frame;
}

// A byte order mark is not white space in JSON: keep it, so that it is refused.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode<S extends z.ZodType>(frame: Uint8Array, schema: S): { head: z.output<S>; bytes: Uint8Array } {
  if (frame.length < PREFIX) throw malformed(`${frame.length} bytes are too short`);
  if (frame[0] !== VERSION) throw malformed(`version ${frame[0]} is unknown to this node (it has version ${VERSION})`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = PREFIX + view.getUint32(1);
  if (end > frame.length) throw malformed(`${frame.length} bytes are announced as at least ${end}`);
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(frame.subarray(PREFIX, end)));
  } catch (cause) {
    throw malformed('its JSON cannot be read', cause);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    throw malformed(parsed.error.issues.map((i) => `${i.path.join('.') || 'head'}: ${i.message}`).join('; '));
  }
  // A plain Uint8Array also where the input is a Buffer, whose slice() does not copy.
  const bytes = new Uint8Array(frame.buffer, frame.byteOffset + end, frame.byteLength - end);
  return { head: parsed.data, bytes };
}

function malformed(what: string, cause?: unknown): SealpostError {
  return new SealpostError(CALL_ERRORS.malformed, `not a bus message: ${what}`, { cause });
}
