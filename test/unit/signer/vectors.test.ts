import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { relaxField } from '#services/signer/header-hash.ts';
import { signMessage } from '#services/signer/sign.ts';
import { fieldValue, type HeaderField, splitHeader } from '#shared/mail/header.ts';
import { needsVectors, readVectors } from '#test/kit/authenticity/vectors.ts';
import { bytesOf } from './messages.ts';
import { requestFor, testKey, verdicts } from './signing.ts';

const FILE = 'dkim.json';
const options = needsVectors(FILE);

type Vector = { suite: string; id: string; msg: string; dns: Record<string, string[]>; category: string };

const vectors = (): Vector[] => readVectors<Vector>(FILE);

/** Header block and body of a message, its line ends made CRLF. */
function split(vector: Vector): { name: string; header: string; body: string } {
  const text = Buffer.from(vector.msg, 'base64').toString('latin1').replace(/\r?\n/g, '\r\n');
  const end = text.indexOf('\r\n\r\n');
  const header = end < 0 ? text : text.slice(0, end + 2);
  return { name: vector.id, header, body: end < 0 ? '' : text.slice(end + 4) };
}

test('messages of the public vectors verify after signing, or are refused for a stated reason', options, async () => {
  const keys = [testKey('example.com', 'r1', 'rsa'), testKey('example.com', 'e1', 'ed25519')];
  const outcomes = new Map<string, number>();
  for (const vector of vectors()) {
    const message = split(vector);
    const result = await signMessage(requestFor(message), [], { loaded: true, keysOf: () => keys });
    outcomes.set(result.outcome, (outcomes.get(result.outcome) ?? 0) + 1);
    if (result.outcome === 'signed') {
      const all = await verdicts(bytesOf(message, result.header), keys);
      assert.deepEqual({ r1: all['r1'], e1: all['e1'] }, { r1: 'pass', e1: 'pass' }, `${vector.suite} ${vector.id}`);
    } else {
      const reason = result.outcome === 'unsigned' ? result.reason : '';
      assert.match(reason, /From|header/, `${vector.suite} ${vector.id}: ${JSON.stringify(result)}`);
    }
  }
  assert.ok((outcomes.get('signed') ?? 0) > 100, JSON.stringify([...outcomes]));
});

/** The tags of a DKIM-Signature field, without white space. */
function tagsOf(field: HeaderField): Map<string, string> {
  const tags = fieldValue(field).replace(/[ \t]/g, '').split(';');
  return new Map(tags.map((tag) => [tag.slice(0, tag.indexOf('=')), tag.slice(tag.indexOf('=') + 1)]));
}

/** The data that a relaxed signature covers (RFC 6376 §3.7), put together from our own canonical form. */
function signedData(fields: HeaderField[], signature: HeaderField, names: string[]): string {
  const left = [...fields];
  let data = '';
  for (const name of names) {
    const at = left.findLastIndex((f) => f.name === name.toLowerCase());
    const field = left[at];
    if (field === undefined) continue;
    left.splice(at, 1);
    data += relaxField(field);
  }
  const unsigned = relaxField(signature).replace(/([;:]\s*b=)[^;]*/, '$1');
  return data + unsigned.replace(/\r\n$/, '');
}

/**
 * Whether the signature verifies over our data; undefined when it is not a relaxed SHA-256 one or its key is not given.
 */
function verifies(vector: Vector, fields: HeaderField[], signature: HeaderField): boolean | undefined {
  const tags = tagsOf(signature);
  if (!/^(rsa|ed25519)-sha256$/.test(tags.get('a') ?? '') || !/^relaxed(\/|$)/.test(tags.get('c') ?? ''))
    return undefined;
  const record = vector.dns[`${tags.get('s')}._domainkey.${tags.get('d')}`]?.[0] ?? '';
  const p = Buffer.from(/(?:^|;)\s*p=([^;]*)/.exec(record)?.[1] ?? '', 'base64');
  if (p.length === 0) return undefined;
  const data = Buffer.from(signedData(fields, signature, (tags.get('h') ?? '').split(':')), 'latin1');
  const b = Buffer.from(tags.get('b') ?? '', 'base64');
  if (tags.get('a') === 'rsa-sha256') {
    return verify('sha256', data, createPublicKey({ key: p, format: 'der', type: 'spki' }), b);
  }
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: p.toString('base64url') };
  const digest = createHash('sha256').update(data).digest();
  return verify(null, digest, createPublicKey({ key: jwk, format: 'jwk' }), b);
}

test('the relaxed form of fields is that of other signers: their signatures verify over it', options, () => {
  let checked = 0;
  for (const vector of vectors().filter((v) => v.category === 'must-pass')) {
    const fields = splitHeader(split(vector).header);
    const results = fields
      .filter((f) => f.name === 'dkim-signature')
      .map((f) => verifies(vector, fields, f))
      .filter((r) => r !== undefined);
    if (results.length === 0) continue;
    // A message must pass by one of its signatures; some carry a broken one beside it.
    assert.ok(results.includes(true), `${vector.suite} ${vector.id}`);
    checked++;
  }
  assert.ok(checked >= 10, `${checked} messages were checked`);
});
