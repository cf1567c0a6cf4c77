import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import {
  Class,
  encodeRecord,
  Rcode,
  type ReceivedRecord,
  type Response,
  rcodeName,
  Type,
} from '#shared/dns/message.ts';
import { decodeName, encodeName } from '#shared/dns/name.ts';
import { SealpostError } from '#shared/errors.ts';
import { troubleError } from './trouble.ts';

/**
 * Signatures by a shared secret (TSIG, RFC 8945). A TSIG is the last record of a message, of class ANY and TTL 0,
 * owned by the key's name. Its RDATA (§4.2):
 *
 *   algorithm name | time signed (6 bytes, seconds) | fudge (2) | MAC size (2) | MAC
 *   | original id (2) | error (2) | other length (2) | other data
 *
 * The MAC is over (§4.3): [MAC size and MAC of the request, in a response] | the message without its TSIG record and
 * with the original id | key name, class, TTL, algorithm name, time, fudge, error, other length, other data.
 *
 * A response is accepted when its MAC is complete and right and its time differs from ours by no more than the fudge.
 * Exceptions: a server that cannot check our signature (BADKEY, BADSIG) cannot sign either (§5.3.2), and a server that
 * refuses a request may not sign the refusal. Such a refusal is reported; it never counts as a success. NXDOMAIN is no
 * refusal: it says that there is no record.
 *
 * It is not in shared/dns/ because updates are the only signed messages, and its errors advise on their settings.
 */

/** `algorithm` is also the name in the record, and `hmac-` and the digest's name in OpenSSL. */
export type TsigKey = Pick<NonNullable<ZoneConfig['update']>, 'key' | 'algorithm' | 'secret'>;
export type Signed = { bytes: Buffer; mac: Buffer };

/** Seconds by which two clocks may differ (§10). */
const FUDGE = 300;
const BADSIG = 16;
const BADKEY = 17;
const BADTIME = 18;
const BADTRUNC = 22;

/** The message followed by its signature. `now` in ms since 1970. */
export function signMessage(message: Buffer, key: TsigKey, now: number): Signed {
  const time = timeBytes(now);
  const mac = digest(key, [message, variables(key, { time, fudge: FUDGE, error: 0, other: Buffer.alloc(0) })]);
  const rdata = Buffer.concat([
    encodeName(key.algorithm),
    time,
    uint16(FUDGE),
    uint16(mac.length),
    mac,
    message.subarray(0, 2),
    uint16(0),
    uint16(0),
  ]);
  const record = encodeRecord({ name: key.key, type: Type.TSIG, class: Class.ANY, ttl: 0, rdata });
  const bytes = Buffer.concat([message, record]);
  bytes.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  return { bytes, mac };
}

/**
 * Check the signature of the answer to a request that was signed with `requestMac`.
 * Fails as trouble.ts says when the server did not accept the key, the signature or the time of the request, with
 * `dns-forged` when the answer is not signed correctly. Texts begin with a verb: the caller prepends the server.
 */
export function verifyResponse(response: Response, key: TsigKey, requestMac: Buffer, now: number): void {
  const record = response.additionals.at(-1);
  if (record?.type !== Type.TSIG) {
    if (response.rcode !== Rcode.NOERROR && response.rcode !== Rcode.NXDOMAIN) return;
    throw forged('answers without a signature: it does not support TSIG, or something on the way changes answers');
  }
  const tsig = parse(response, record);
  assertChecked(tsig, key);
  if (tsig.name !== key.key.toLowerCase() || tsig.algorithm !== key.algorithm) {
    throw forged(`signs with key "${tsig.name}" and ${tsig.algorithm}, not with "${key.key}" and ${key.algorithm}`);
  }
  const message = Buffer.from(response.bytes.subarray(0, record.start));
  message.writeUInt16BE(response.additionals.length - 1, 10);
  message.writeUInt16BE(tsig.originalId, 0);
  const expected = digest(key, [uint16(requestMac.length), requestMac, message, variables(key, tsig)]);
  // A truncated MAC (§5.2.2.1) is not accepted: none was requested.
  if (tsig.mac.length !== expected.length || !timingSafeEqual(tsig.mac, expected)) {
    throw forged(`answers with a wrong signature of key "${key.key}": something on the way changes answers`);
  }
  if (tsig.error === BADTIME) {
    const theirs =
      tsig.other.length === 6 ? `: its clock differs by ${seconds(tsig.other) - seconds(timeBytes(now))} s` : '';
    throw troubleError(
      'BADTIME',
      `does not accept the time of the signature (BADTIME)${theirs}; set the clock of this machine or of the server`,
    );
  }
  if (tsig.error !== 0) {
    const name = rcodeName(tsig.error);
    throw troubleError(name, `answers ${name} to the signature of key "${key.key}"`);
  }
  const skew = seconds(tsig.time) - seconds(timeBytes(now));
  if (Math.abs(skew) > FUDGE) {
    throw forged(
      `signs with a time that differs by ${skew} s: set the clocks; if they are right, an old answer was replayed`,
    );
  }
}

/** Fails where the server could not check the signature of the request, so that it signs nothing either (§5.2.1, §5.2.2). */
function assertChecked(tsig: Tsig, key: TsigKey): void {
  if (tsig.error === BADKEY) {
    throw troubleError(
      'BADKEY',
      `does not know the key "${key.key}" with ${key.algorithm} (BADKEY): compare name and algorithm with its configuration`,
    );
  }
  if (tsig.error === BADSIG) {
    throw troubleError(
      'BADSIG',
      `does not accept the signature of key "${key.key}" (BADSIG): the configured secret is not that of the server (a changed secret file is read at SIGHUP)`,
    );
  }
  if (tsig.error === BADTRUNC) {
    throw troubleError('BADTRUNC', `requires another length of signatures (${rcodeName(BADTRUNC)})`);
  }
}

type Tsig = {
  name: string;
  algorithm: string;
  time: Buffer;
  fudge: number;
  mac: Buffer;
  originalId: number;
  error: number;
  other: Buffer;
};

function parse(response: Response, record: ReceivedRecord): Tsig {
  const { name: algorithm, end } = decodeName(response.bytes, record.rdataStart);
  const rest = response.bytes.subarray(end, record.rdataStart + record.rdata.length);
  const macSize = rest.length >= 10 ? rest.readUInt16BE(8) : 0;
  const tail = rest.subarray(10 + macSize);
  const shaped = record.class === Class.ANY && record.ttl === 0;
  if (!shaped || rest.length < 10 || tail.length < 6 || tail.length !== 6 + tail.readUInt16BE(4)) {
    throw forged('answers with a signature record that cannot be read');
  }
  return {
    name: record.name,
    algorithm,
    time: rest.subarray(0, 6),
    fudge: rest.readUInt16BE(6),
    mac: rest.subarray(10, 10 + macSize),
    originalId: tail.readUInt16BE(0),
    error: tail.readUInt16BE(2),
    other: tail.subarray(6),
  };
}

type Variables = Pick<Tsig, 'time' | 'fudge' | 'error' | 'other'>;

function variables(key: TsigKey, { time, fudge, error, other }: Variables): Buffer {
  return Buffer.concat([
    encodeName(key.key),
    uint16(Class.ANY),
    Buffer.alloc(4),
    encodeName(key.algorithm),
    time,
    uint16(fudge),
    uint16(error),
    uint16(other.length),
    other,
  ]);
}

function digest(key: TsigKey, parts: Buffer[]): Buffer {
  const hmac = createHmac(key.algorithm.slice('hmac-'.length), Buffer.from(key.secret.reveal(), 'base64'));
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

function timeBytes(now: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(Math.floor(now / 1000), 0, 6);
  return bytes;
}

function seconds(time: Buffer): number {
  return time.readUIntBE(0, 6);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function forged(text: string): SealpostError {
  return new SealpostError('dns-forged', text);
}
