import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CONTRACTS, type ContractName } from '#services/topology.ts';
import { CALL_ERRORS, type Contract } from '#shared/contract.ts';
import { ERRORS, type ErrorCode } from '#shared/error-codes.ts';
import { loadedFiles, thrownCodes } from '#test/kit/contracts/thrown-codes.ts';

/** That table, contracts and sources name the same codes. A code without a row does not compile. */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const sources = globSync('{shared,cluster,services}/**/*.ts', { cwd: ROOT });
const tree = new Map(sources.map((file) => [file, readFileSync(`${ROOT}${file}`, 'utf8')]));
const thrown = new Map([...tree].map(([file, text]) => [file, thrownCodes(text)]));
const codesIn = (files: Iterable<string>): Set<ErrorCode> =>
  new Set([...files].flatMap((file) => [...(thrown.get(file)?.codes ?? [])]));

const CALLS = new Set<ErrorCode>(Object.values(CALL_ERRORS));

/** Where the handlers of a contract begin. */
const entryOf = (name: ContractName): string =>
  name === 'member' ? 'cluster/members/membership.ts' : `services/${name}/service.ts`;

type Reasons = Partial<Record<ErrorCode, string>>;

/** Declared, and thrown by what a handler is given rather than by its service. */
const HANDED_ON: Partial<Record<ContractName, Reasons>> = {
  member: { 'no-router': 'a drain begins with router.queue-drain' },
};

const TRANSITION = 'ends a transition in the life of a key, which is tried again';
const VERDICT = 'is a verdict in what is seen of a record';
const START = 'ends the start of the service';
const CLAIM = 'ends a claim in the cluster, which is tried again';
const NO_HASH = 'is logged; the log-in is deferred';
const UNUSABLE = 'is why a key cannot be used';
const UNSHARED = 'is why a certificate of the cluster is not used';
const NO_NEK = 'is answered as no-nek';
const LOOK_UP = 'ends a look-up in DNS; what asks it goes on as configured, or defers';
const CONFIGURATION = 'ends the reading of the configuration';
const TEST_MAIL = 'ends a test message, and is told in the reply of test-send';
const BUG = 'is a bug, and answered as internal';

/** Thrown in a service, and no answer of it: why not. */
const INTERNAL: Record<ContractName, Reasons> = {
  'credential-store': {
    'acme-failed': 'ends an order of a certificate, which is tried again',
    closed: TRANSITION,
    'cut-off': TRANSITION,
    late: TRANSITION,
    waiting: TRANSITION,
    'dns-forged': TRANSITION,
    'proof-failed': 'ends such a step, or is told in the reply of key-verify',
    'dns-alias': VERDICT,
    'nek-invalid': NO_NEK,
    'secret-missing': NO_NEK,
    'secret-unreadable': NO_NEK,
    'store-locked': START,
    'invalid-record': BUG,
  },
  router: {
    'dns-alias': LOOK_UP,
    'dns-malformed': LOOK_UP,
    'dns-name': LOOK_UP,
    'dns-no-route': LOOK_UP,
    'dns-unreachable': LOOK_UP,
    'peer-protocol': 'ends a connection; the mail is deferred',
    'message-damaged': 'ends an attempt; the mail is deferred',
    'not-ours': 'ends an attempt; another node goes on',
    'no-quorum': CLAIM,
    'unreadable-record': CLAIM,
    'no-nek': 'is for records that are sealed, which claims are not',
    'invalid-record': BUG,
    'store-locked': START,
  },
  signer: {
    'no-nek': UNUSABLE,
    'nek-mismatch': UNUSABLE,
    'nek-invalid': UNUSABLE,
    'secret-missing': UNUSABLE,
    'secret-unreadable': UNUSABLE,
    'key-damaged': UNUSABLE,
    'store-went-back': 'ends a look at the credential-store, which is tried again',
    'proof-failed': 'is thrown by who asks for a proof, in the same file',
  },
  policy: {
    unreadable: 'is logged; log-ins are deferred, or the last good users file stays in force',
    invalid: 'is logged; log-ins are deferred, or the last good users file stays in force',
    'no-nek': 'ends a look at the credential-store, which is tried again',
    'nek-invalid': NO_HASH,
    'nek-mismatch': NO_HASH,
    'secret-missing': NO_HASH,
    'secret-unreadable': NO_HASH,
    'key-damaged': NO_HASH,
    'store-went-back': 'ends a look at the credential-store, which is tried again',
    'dns-alias': LOOK_UP,
    'dns-malformed': LOOK_UP,
    'dns-name': LOOK_UP,
    'dns-no-route': LOOK_UP,
    'dns-unreachable': LOOK_UP,
  },
  listener: {
    'no-node': TEST_MAIL,
    refused: TEST_MAIL,
    unreachable: TEST_MAIL,
    'no-nek': UNSHARED,
    'nek-invalid': UNSHARED,
    'nek-mismatch': UNSHARED,
    'key-damaged': UNSHARED,
    'store-went-back': 'ends a look at the credential-store, which is tried again',
    'secret-missing': CONFIGURATION,
    'secret-unreadable': CONFIGURATION,
    'filter-failed': 'is a verdict on a message: it is deferred, or passes with a mark',
    'listen-failed': START,
    'tls-material': 'ends the start, or is logged and what is in use stays in use',
  },
  console: {},
  member: {},
};

const contracts = Object.entries(CONTRACTS) as [ContractName, Contract][];

test('every row says what happened and what to do, in one sentence each', () => {
  for (const [code, { meaning, action }] of Object.entries(ERRORS)) {
    assert.match(code, /^[a-z]+(?:-[a-z]+)*$/);
    for (const text of [meaning, action]) assert.match(text, /^[A-Z][^.]*(?:\.\S[^.]*)*\.$/, `${code}: ${text}`);
  }
});

test('every row is thrown somewhere', () => {
  const all = codesIn(tree.keys());
  const idle = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !all.has(code) && !CALLS.has(code));
  assert.deepEqual(idle, []);
});

test('an error names its code where it is made, or hands on that of another', () => {
  const unnamed = [...thrown].flatMap(([file, found]) => found.unnamed.map((argument) => `${file}: ${argument}`));
  assert.deepEqual(
    unnamed.filter((line) => !/: (?:error|answer)\.code(?: as ErrorCode)?$/.test(line)),
    [],
  );
});

for (const [name, { operations }] of contracts) {
  describe(`the contract ${name}`, () => {
    const declared = new Set(Object.values(operations).flatMap(({ errors = [] }) => errors));
    // Whatever the API of the console throws is answered over HTTPS.
    const reached = codesIn(name === 'console' ? [entryOf(name)] : loadedFiles(tree, entryOf(name)));
    const internal = Object.keys(INTERNAL[name]) as ErrorCode[];

    test('declares each code that its service can throw, or there is a reason why no caller gets it', () => {
      const missing = [...reached].filter(
        (code) => !declared.has(code) && !CALLS.has(code) && !internal.includes(code),
      );
      assert.deepEqual(missing, []);
      assert.deepEqual(
        internal.filter((code) => !reached.has(code) || declared.has(code)),
        [],
        'reasons that nobody needs',
      );
    });

    test('declares no code that its service cannot throw', () => {
      const handedOn = HANDED_ON[name] ?? {};
      assert.deepEqual(
        [...declared].filter((code) => !reached.has(code) && handedOn[code] === undefined),
        [],
      );
    });

    test('repeats no code, and sends on only what it declares', () => {
      for (const [operation, { errors = [], elsewhere = [] }] of Object.entries(operations)) {
        assert.equal(new Set(errors).size, errors.length, operation);
        assert.deepEqual(
          errors.filter((code) => CALLS.has(code)),
          [],
          `${operation}: any call may fail with these`,
        );
        assert.deepEqual(
          elsewhere.filter((code) => !errors.includes(code)),
          [],
          operation,
        );
      }
    });
  });
}

test('thrown codes are found in every form, and so is an argument that names none', () => {
  const { codes, unnamed } = thrownCodes(`
    throw new SealpostError('full', 'no room for "exists"');
    return new SealpostError(
      CALL_ERRORS.tooLarge, text);
    const e = new SealpostError(f('x', 1) ? 'corrupt' : 'not-found', \`…\`);
    new SealpostError(code, text);`);
  assert.deepEqual([...codes].toSorted(), ['corrupt', 'full', 'not-found', 'too-large']);
  assert.deepEqual(unnamed, ['code']);
});

test('imports of types lead nowhere', () => {
  const files = new Map([
    ['shared/a.ts', "import type { B } from './b.ts';\nimport { type D, c } from './c.ts';"],
    ['shared/b.ts', ''],
    ['shared/c.ts', "import type {\n  B,\n} from './b.ts';\nexport * from './d.ts';"],
    ['shared/d.ts', ''],
  ]);
  assert.deepEqual([...loadedFiles(files, 'shared/a.ts')], ['shared/a.ts', 'shared/c.ts', 'shared/d.ts']);
});
