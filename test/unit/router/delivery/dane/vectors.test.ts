import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { usableRecords } from '#services/router/delivery/dane/records.ts';
import { verifyByDane } from '#services/router/delivery/dane/verify.ts';
import { needsVectors, readVectors } from '#test/kit/authenticity/vectors.ts';

/** The public DANE vectors of OpenSSL: sets of TLSA records, and chains for example.com. */
type Vector = {
  id: number;
  tlsa: [usage: number, selector: number, matching: number, data: string][];
  /** PEM, that of the host first. */
  certs: string[];
  /** As OpenSSL counts: 0 is verified, 62 another name, 65 no record that matches. */
  wantResult: number;
};

const FILE = 'dane-openssl.json';
const PKIX = 'usages 0 and 1 are for public authorities, and cannot be used for SMTP: RFC 7672 §3.1.3';
const NO_NAMES = 'with DANE-EE the names of the certificate do not count: RFC 7672 §3.1.1';

/** Where the answer for SMTP is another one than that of OpenSSL, which serves all protocols. */
const DEVIATIONS = new Map<number, { expected: string; because: string }>([
  ...[25, 27, 28, 29, 30, 31, 33, 35, 36, 41].map((id) => [id, { expected: 'unusable', because: PKIX }] as const),
  [54, { expected: 'dane-ee', because: NO_NAMES }],
]);

function ours({ tlsa, certs }: Vector): string {
  const all = tlsa.map(([usage, selector, matching, data]) => ({
    ...{ usage, selector, matching },
    data: Buffer.from(data, 'hex'),
  }));
  const records = usableRecords(all);
  if (records.length === 0) return 'unusable';
  const chain = certs.map((pem) => new X509Certificate(pem));
  const verdict = verifyByDane(chain, { records, names: ['example.com'], now: Date.now() });
  return 'verified' in verdict ? verdict.verified : 'refused';
}

function theirs({ tlsa, wantResult }: Vector): string {
  if (wantResult !== 0) return 'refused';
  return tlsa.some(([usage]) => usage === 2) ? 'dane-ta' : 'dane-ee';
}

test(
  'the chains of the public vectors are judged as OpenSSL does, but where SMTP has rules of its own',
  needsVectors(FILE),
  () => {
    const vectors = readVectors<Vector>(FILE);
    assert.ok(vectors.length > 0);
    for (const vector of vectors) {
      const deviation = DEVIATIONS.get(vector.id);
      assert.equal(
        ours(vector),
        deviation?.expected ?? theirs(vector),
        `vector ${vector.id} ${deviation?.because ?? ''}`,
      );
      if (deviation !== undefined) assert.notEqual(deviation.expected, theirs(vector), `${vector.id} is no deviation`);
    }
  },
);
