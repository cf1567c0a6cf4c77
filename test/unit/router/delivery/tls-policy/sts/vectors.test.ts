import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesHost } from '#services/router/delivery/tls-policy/sts/policies.ts';
import { parsePolicyFile } from '#shared/mta-sts/policy-file.ts';
import { readStsRecord } from '#shared/mta-sts/record.ts';
import { needsVectors, readVectors } from '#test/kit/authenticity/vectors.ts';

/** Public MTA-STS vectors, of two mail servers. */
type Vector = { suite: string } & (
  | { kind: 'record'; valid: boolean; text: string }
  | { kind: 'policy'; valid: boolean; text: string }
  | { kind: 'mxmatch'; domain: string; pattern: string; match: boolean }
);

const FILE = 'mta-sts.json';

function isTaken(vector: Vector): boolean {
  if (vector.kind === 'record') return 'id' in readStsRecord([vector.text]);
  if (vector.kind === 'policy') return 'mode' in parsePolicyFile(vector.text);
  return namesHost({ mx: [vector.pattern] }, vector.domain);
}

test('records, policies and patterns of the public vectors are judged as they say', needsVectors(FILE), () => {
  const vectors = readVectors<Vector>(FILE);
  assert.ok(vectors.length > 0);
  for (const vector of vectors) {
    const wanted = vector.kind === 'mxmatch' ? vector.match : vector.valid;
    assert.equal(isTaken(vector), wanted, JSON.stringify(vector));
  }
});
