import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { spokenEvents, spokenOperations } from '#cluster/contract-versions.ts';
import { CONTRACTS } from '#services/topology.ts';
import { type Contract, defineContract } from '#shared/contract.ts';
import { incompatibilities, readSnapshot, refusal, snapshotOf } from '#test/kit/contracts/contract-snapshot.ts';
import { newContract, oldContract } from '#test/suites/versions.ts';

/** That contracts change only in ways that processes of the version before understand. */

describe('every contract is as it was accepted, or changed compatibly', () => {
  const all = (Object.values(CONTRACTS) as Contract[]).flatMap((contract) =>
    contract.previous === undefined ? [contract] : [contract, contract.previous.contract],
  );
  for (const contract of all) {
    test(`${contract.name} v${contract.version}`, async () => {
      const before = await readSnapshot(contract);
      assert.ok(before, `run "npm run accept-contracts": ${contract.name} v${contract.version} has no snapshot`);
      const problems = incompatibilities(before, snapshotOf(contract));
      assert.ok(problems.length === 0, refusal(contract, problems));
      assert.deepEqual(before, snapshotOf(contract), 'a compatible change: run "npm run accept-contracts"');
    });
  }
});

/** A contract with one operation and one event, but for what a case says. */
const base = {
  request: z.object({
    id: z.string(),
    note: z.string().optional(),
    kind: z.enum(['a', 'b']),
    limit: z.number().default(9),
  }),
  reply: z.object({ list: z.array(z.object({ key: z.string() })), total: z.number() }),
  event: z.object({ node: z.string() }),
  strict: z.union([z.strictObject({ id: z.string() }), z.object({ all: z.literal(true) })]),
};
type Base = { [Name in keyof typeof base]: z.ZodType };

function changed(own: Partial<Base>): string[] {
  const make = ({ request, reply, event, strict }: Base) =>
    snapshotOf(
      defineContract('c', 1, {
        operations: { ask: { request, reply }, choose: { request: strict, reply: z.object({}) } },
        events: { told: event },
      }),
    );
  return incompatibilities(make(base), make({ ...base, ...own }));
}

describe('compatible', () => {
  const { request, reply, event, strict } = base;
  const cases: [string, Partial<Base>][] = [
    ['nothing', {}],
    ['a request field that may be absent', { request: request.extend({ more: z.string().optional() }) }],
    ['a request field with a default', { request: request.extend({ more: z.string().default('x') }) }],
    ['another default', { request: request.extend({ limit: z.number().default(10) }) }],
    ['a remark', { request: request.describe('what is wanted') }],
    ['a field gone that could be absent', { request: request.omit({ note: true }) }],
    ['a reply field with a default', { reply: reply.extend({ more: z.string().default('') }) }],
    [
      '… deep inside',
      { reply: reply.extend({ list: z.array(z.object({ key: z.string(), at: z.number().optional() })) }) },
    ],
    ['an event field that may be absent', { event: event.extend({ more: z.string().optional() }) }],
    ['a choice of the same', { strict: z.union(strict.options) }],
  ];
  for (const [what, own] of cases) test(what, () => assert.deepEqual(changed(own), []));

  test('another operation, another event', () => {
    const now = snapshotOf({
      ...oldContract,
      operations: { ...oldContract.operations, more: oldContract.operations.read },
    });
    assert.deepEqual(incompatibilities(snapshotOf(oldContract), now), []);
    assert.match(incompatibilities(now, snapshotOf(oldContract))[0] ?? '', /^more is gone/);
  });
});

describe('not compatible', () => {
  const { request, reply, event, strict } = base;
  const cases: [string, Partial<Base>, RegExp][] = [
    [
      'a request field that must be there',
      { request: request.extend({ more: z.string() }) },
      /ask\.request\.more is new: older processes do not send it/,
    ],
    ['a reply field that must be there', { reply: reply.extend({ more: z.string() }) }, /ask\.reply\.more is new/],
    ['an event field that must be there', { event: event.extend({ more: z.string() }) }, /told\.more is new/],
    ['a field gone', { reply: reply.omit({ total: true }) }, /ask\.reply\.total is gone/],
    ['a field that must be there now', { request: request.extend({ note: z.string() }) }, /note must be there now/],
    [
      'a field that may be absent now',
      { request: request.extend({ id: z.string().optional() }) },
      /id may be absent now/,
    ],
    [
      'another type',
      { request: request.extend({ id: z.number() }) },
      /ask\.request\.id\.type was "string" and is "number"/,
    ],
    [
      '… deep inside',
      { reply: reply.extend({ list: z.array(z.object({ key: z.number() })) }) },
      /list\.items\.key\.type/,
    ],
    [
      'another word',
      { request: request.extend({ kind: z.enum(['a', 'b', 'c']) }) },
      /kind\.enum was \["a","b"\] and is/,
    ],
    [
      'a rule that is tighter',
      { request: request.extend({ id: z.string().max(9) }) },
      /id\.maxLength was null and is 9/,
    ],
    [
      'another choice',
      { strict: z.union([...strict.options, z.object({ none: z.literal(true) })]) },
      /choose\.request\.anyOf/,
    ],
    [
      'anything new where all that is unknown is refused',
      { strict: z.union([z.strictObject({ id: z.string(), x: z.string().optional() }), strict.options[1]]) },
      /x is new: older processes refuse it/,
    ],
  ];
  for (const [what, own, words] of cases) {
    test(what, () => {
      const problems = changed(own);
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0] ?? '', words);
    });
  }

  test('bytes on another side', () => {
    const { read } = oldContract.operations;
    const now = {
      ...oldContract,
      operations: { ...oldContract.operations, read: { ...read, bytes: 'request' as const } },
    };
    assert.match(
      incompatibilities(snapshotOf(oldContract), snapshotOf(now)).join(),
      /read\.bytes was "reply" and is "request"/,
    );
  });

  test('version 2 of the sample, were it called 1', () => {
    const problems = incompatibilities(snapshotOf(oldContract), snapshotOf(newContract));
    const text = refusal(oldContract, problems);
    assert.match(text, /sample v1 changed/);
    assert.match(text, /delay\.request\.seconds is gone.*make it version 2/s);
  });
});

test('a version follows the one before it and no other', () => {
  const spec = { operations: {} };
  assert.throws(
    () => defineContract('sample', 3, spec, { contract: oldContract }),
    /sample v3 cannot follow sample v1/,
  );
  assert.throws(() => defineContract('other', 2, spec, { contract: oldContract }), /other v2 cannot follow sample v1/);
});

test('whoever may do something may do so in both versions, where both have it', () => {
  const all = Object.keys({ ...oldContract.operations, ...newContract.operations });
  const versions = (names: string[]) => spokenOperations(newContract, names).map((a) => `v${a.version}.${a.operation}`);
  assert.deepEqual(versions(['delay', 'added', 'dropped']), ['v2.delay', 'v2.added', 'v1.delay', 'v1.dropped']);
  assert.equal(versions(all).length, 8);
  assert.deepEqual(
    spokenEvents(newContract, ['delayed', 'added']).map((e) => `v${e.version}.${e.event}`),
    ['v2.delayed', 'v2.added', 'v1.delayed'],
  );
});
