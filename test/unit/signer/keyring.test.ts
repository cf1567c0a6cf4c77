import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Keyring, type KeyringDeps } from '#services/signer/keyring.ts';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import { proveKeyList } from '#shared/dkim/list-proof.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const NEK = generateNek('edge');
const pair = generateKeyPairSync('ed25519');
const published = publishedBytes(pair.publicKey);

type Extra = Partial<Pick<SigningKey, 'state' | 'publicKey'>> & { domain?: string; nek?: string };

function wrapped(selector: string, { domain = 'example.com', nek = NEK, ...rest }: Extra = {}): SigningKey {
  const id = { domain, selector, algorithm: 'ed25519' as const };
  const fingerprint = publicKeyFingerprint(published);
  const info = { state: 'active' as const, created: 0, fingerprint, publicKey: published.toString('base64') };
  return { ...id, ...info, ...rest, wrapped: wrapKey(parseNek(nek), id, pair.privateKey) };
}

/** A credential-store whose answers the test decides, `page` keys at a time. */
class FakeStore {
  readonly node: string;
  revision = 1;
  keys: SigningKey[] = [wrapped('s1')];
  behind: string | undefined;
  /** Code of the error that it answers with. */
  down: ErrorCode | undefined;
  questions = 0;
  page = Number.POSITIVE_INFINITY;
  proves = false;

  constructor(node: string) {
    this.node = node;
  }

  async signingKeys({ after, nonce = '' }: { after?: string | undefined; nonce?: string | undefined }) {
    this.questions++;
    if (this.down !== undefined) throw new SealpostError(this.down, `node ${this.node}: ${this.down}`);
    const start = after === undefined ? 0 : Number(after);
    const end = start + this.page;
    const list = {
      node: this.node,
      revision: this.revision,
      keys: this.keys.slice(start, end),
      ...(end < this.keys.length && { next: String(end) }),
      ...(this.behind !== undefined && { behind: this.behind }),
    };
    return this.proves ? { ...list, macs: proveKeyList([parseNek(NEK)], nonce, list) } : list;
  }
}

type Said = (payload: { node: string; revision: number }) => void;

/** The credential-stores of a cluster; a question to no node in particular goes to the first that is up. */
class FakeStores {
  readonly own = new FakeStore('edge-1');
  readonly second = new FakeStore('edge-2');
  readonly third = new FakeStore('edge-3');
  readonly #listeners = new Map<string, Said>();

  readonly credentials = {
    'signing-key-list': async (request, options) => {
      const all = [this.own, this.second, this.third];
      const store = all.find((s) => (options?.node === undefined ? s.down === undefined : s.node === options.node));
      return (store ?? this.own).signingKeys(request);
    },
  } as Partial<KeyringDeps['credentials']> as KeyringDeps['credentials'];

  readonly onStores: KeyringDeps['onStores'] = (name, listener) => {
    this.#listeners.set(name, listener as Said);
    return () => this.#listeners.delete(name);
  };

  say(name: 'changed' | 'present', store = this.own, revision = store.revision): void {
    this.#listeners.get(name)?.({ node: store.node, revision });
  }
}

type SetUp = {
  stores: FakeStores;
  store: FakeStore;
  announce: (revision?: number) => void;
  keyring: Keyring;
  settings: Settings;
  file: string;
  lines: ReturnType<typeof logLines>['lines'];
};

/** A signer of node edge-1 alone; with `cluster`, of a cluster of three nodes. */
async function setUp(
  t: TestContext,
  prepare: (store: FakeStore, file: string, stores: FakeStores) => unknown = () => undefined,
  { cluster = false } = {},
): Promise<SetUp> {
  const data = await tempDir();
  const file = join(data.path, 'nek.key');
  await writeFile(file, NEK, { mode: 0o600 });
  const bus = cluster ? { servers: ['nats://127.0.0.1:4222'] } : {};
  const settings = new Settings(ConfigSchema.parse({ bus, credentials: { nek: file } }));
  const stores = new FakeStores();
  for (const store of [stores.own, stores.second, stores.third]) store.proves = cluster;
  await prepare(stores.own, file, stores);
  const { log, lines } = logLines();
  const keyring = new Keyring({ settings, log, credentials: stores.credentials, onStores: stores.onStores });
  t.after(async () => {
    keyring.close();
    await data[Symbol.asyncDispose]();
  });
  await keyring.open();
  const announce = (revision?: number): void => stores.say('changed', stores.own, revision);
  return { stores, store: stores.own, announce, keyring, settings, file, lines };
}

const clustered = { cluster: true };

const selectors = (keyring: Keyring, domain = 'example.com'): string[] =>
  keyring.keysOf(domain).map((k) => `${k.selector}${k.usable ? '' : '?'}`);

test('a store that is away at the start: nothing is loaded until it answers, and it is asked again', async (t) => {
  const { store, keyring, lines } = await setUp(t, (s) => {
    s.down = 'unavailable';
  });
  assert.equal(keyring.loaded, false);
  assert.equal(keyring.upToDate, false);
  await waitFor(() => store.questions > 1, { what: 'a second question' });
  store.down = undefined;
  await waitFor(() => keyring.loaded, { what: 'the keys' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, true);
  assert.equal(lines().filter((l) => l.level === 'error').length, 1);
});

test('a store that was away for long is found again within 4 s', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { store, keyring } = await setUp(t, (s) => {
    s.down = 'unavailable';
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 1000; i++) await turn();
  };
  // Keys are unwrapped on other threads, whose time no mocked clock moves.
  const asked = async (when: () => boolean): Promise<void> => {
    for (const began = performance.now(); !when() && performance.now() - began < 10_000; ) await turn();
  };
  for (let questions = 1; questions < 20; questions++) {
    await asked(() => store.questions === questions);
    await settled();
    t.mock.timers.tick(4000);
  }
  store.down = undefined;
  await settled();
  t.mock.timers.tick(4000);
  await asked(() => keyring.loaded);
  assert.equal(keyring.loaded, true);
});

test('keys stay when the store goes away, and an announcement brings new ones', async (t) => {
  const { store, keyring, announce } = await setUp(t);
  store.down = 'unavailable';
  announce(2);
  await waitFor(() => store.questions > 1, { what: 'a question' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, false);
  store.down = undefined;
  store.revision = 3;
  store.keys = [wrapped('s2')];
  announce();
  await waitFor(() => keyring.revision === 3, { what: 'revision 3' });
  assert.deepEqual(selectors(keyring), ['s2']);
  assert.equal(keyring.upToDate, true);
});

test('what is said again and again of what is held asks nothing', async (t) => {
  const { store, stores, keyring } = await setUp(t);
  for (let i = 0; i < 3; i++) stores.say('present');
  stores.say('changed', stores.second, 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.questions, 1);
  assert.equal(keyring.upToDate, true);
});

test('a lost announcement is made up for within 30 s', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { store, keyring } = await setUp(t);
  store.revision = 2;
  store.keys = [wrapped('s1'), wrapped('s2')];
  t.mock.timers.tick(29_999);
  assert.equal(store.questions, 1);
  t.mock.timers.tick(1);
  // The keys are unwrapped on other threads, whose time no mocked clock moves.
  for (const began = performance.now(); keyring.revision !== 2 && performance.now() - began < 10_000; )
    await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(selectors(keyring), ['s1', 's2']);
});

test('pages are put together; after a change between them it starts over', async (t) => {
  const { keyring, store } = await setUp(t, (s) => {
    s.page = 1;
    s.keys = [wrapped('s1'), wrapped('s2'), wrapped('s3')];
    const ask = s.signingKeys.bind(s);
    let changed = false;
    s.signingKeys = (request) => {
      if (request.after === '2' && !changed) {
        changed = true;
        s.revision++;
        s.keys = [wrapped('s4'), ...s.keys];
      }
      return ask(request);
    };
  });
  assert.deepEqual(selectors(keyring), ['s4', 's1', 's2', 's3']);
  assert.equal(keyring.revision, store.revision);
});

test('a store that lost its data does not take the keys away', async (t) => {
  const { store, keyring, lines, announce } = await setUp(t, (s) => {
    s.revision = 7;
  });
  store.revision = 0;
  store.keys = [];
  announce();
  await waitFor(() => lines().some((l) => l.level === 'error'), { what: 'an error in the log' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, false);
  assert.match(
    String(lines().find((l) => l.level === 'error')?.['error']),
    /lost changes \(node edge-1 has revision 0 instead of 7/,
  );
});

test('a key under another NEK is unusable with a reason that names both; the others sign', async (t) => {
  const { keyring, lines } = await setUp(t, (s) => {
    s.keys = [wrapped('s1'), wrapped('s2', { nek: generateNek('old') })];
  });
  assert.deepEqual(selectors(keyring), ['s1', 's2?']);
  const error = lines().find((l) => l.level === 'error');
  assert.match(String(error?.['error']), /s2 of example\.com is wrapped with NEK old \([0-9a-f]{16}\), but .* edge \(/);
});

test('a damaged key is unusable; the others sign', async (t) => {
  const { keyring } = await setUp(t, (s) => {
    s.keys = [{ ...wrapped('s1'), selector: 's0' }, wrapped('s2')];
  });
  assert.deepEqual(selectors(keyring), ['s0?', 's2']);
});

test('a NEK that comes later is taken at the next answer; said once, not at every answer', async (t) => {
  const { keyring, store, file, lines, announce } = await setUp(t, (_s, nek) => rm(nek));
  assert.equal(keyring.loaded, true);
  assert.deepEqual(selectors(keyring), ['s1?']);
  store.revision = 2;
  announce();
  await waitFor(() => keyring.revision === 2, { what: 'revision 2' });
  const errors = lines().filter((l) => l.level === 'error');
  assert.equal(errors.length, 1);
  assert.match(String(errors[0]?.['error']), /nek\.key does not exist/);
  await writeFile(file, NEK, { mode: 0o600 });
  store.revision = 3;
  announce();
  await waitFor(() => selectors(keyring)[0] === 's1', { what: 'the key' });
});

test('a NEK that goes away later takes no key that is held', async (t) => {
  const { keyring, store, file, announce } = await setUp(t);
  await rm(file);
  store.revision = 2;
  store.keys = [...store.keys, wrapped('s2')];
  announce();
  await waitFor(() => keyring.revision === 2, { what: 'revision 2' });
  assert.deepEqual(selectors(keyring), ['s1', 's2?']);
});

test('a changed configuration is in force immediately', async (t) => {
  const { keyring, settings, file } = await setUp(t, (_s, nek) => rm(nek));
  const other = `${file}.other`;
  await writeFile(other, NEK, { mode: 0o600 });
  settings.replace(ConfigSchema.parse({ credentials: { nek: other } }));
  await waitFor(() => selectors(keyring)[0] === 's1', { what: 'the key' });
});

const OF_OWN: [string, (own: FakeStore) => void, string][] = [
  ['answers', () => undefined, 'edge-1'],
  ['is away', (own) => Object.assign(own, { down: 'unavailable' }), 'edge-2'],
  ['is silent', (own) => Object.assign(own, { down: 'timeout' }), 'edge-2'],
  ['has yet to catch up', (own) => Object.assign(own, { down: 'not-caught-up' }), 'edge-2'],
];

for (const [what, prepare, node] of OF_OWN) {
  test(`the own node's store is asked first; it ${what}: the keys are those of ${node}`, async (t) => {
    const { keyring, stores } = await setUp(t, prepare, clustered);
    assert.equal(keyring.store, node);
    assert.equal(keyring.upToDate, true);
    assert.equal(keyring.behind, undefined);
    assert.deepEqual(selectors(keyring), ['s1']);
    assert.equal(stores.third.questions, 0);
  });
}

test('alone, no other store is asked', async (t) => {
  const { stores, keyring } = await setUp(t, (own) => Object.assign(own, { down: 'store-failed' }));
  assert.deepEqual([stores.own.questions, stores.second.questions], [1, 0]);
  assert.match(keyring.behind ?? '', /edge-1: store-failed/);
});

test('what another store has and the own one lacks is fetched there; an older answer is never adopted', async (t) => {
  const { stores, keyring } = await setUp(t, undefined, clustered);
  Object.assign(stores.third, { revision: 4, keys: [wrapped('s3')] });
  stores.say('present', stores.third);
  await waitFor(() => keyring.revision === 4, { what: 'revision 4' });
  assert.deepEqual([keyring.store, ...selectors(keyring)], ['edge-3', 's3']);
  Object.assign(stores.third, { down: 'unavailable' });
  Object.assign(stores.own, { revision: 3, keys: [] });
  const { questions } = stores.own;
  stores.say('changed', stores.own);
  await waitFor(() => stores.own.questions > questions && keyring.behind !== undefined, { what: 'an answer' });
  assert.match(keyring.behind ?? '', /node edge-1 has revision 3 instead of 4/);
  assert.deepEqual(selectors(keyring), ['s3']);
  Object.assign(stores.own, { revision: 5, keys: [wrapped('s5')] });
  stores.say('changed', stores.own);
  await waitFor(() => keyring.upToDate, { what: 'revision 5' });
  assert.deepEqual([keyring.store, ...selectors(keyring)], ['edge-1', 's5']);
});

test('a store that lost its data does no harm while another has them', async (t) => {
  const { stores, keyring, lines } = await setUp(
    t,
    (own, _file, all) => {
      for (const store of [own, all.second]) store.revision = 7;
    },
    clustered,
  );
  stores.say('present', stores.second);
  Object.assign(stores.own, { revision: 0, keys: [] });
  stores.say('changed', stores.own);
  await waitFor(() => keyring.store === 'edge-2', { what: 'the answer of the second store' });
  assert.deepEqual([keyring.upToDate, keyring.revision, ...selectors(keyring)], [true, 7, 's1']);
  assert.deepEqual(
    lines().filter((l) => l.level === 'error'),
    [],
  );
});

test('a change that another node made is not fetched there while the own store is about to have it', async (t) => {
  const { stores, keyring } = await setUp(t, undefined, clustered);
  stores.say('present', stores.own);
  stores.say('changed', stores.second, 2);
  assert.equal(keyring.upToDate, false);
  Object.assign(stores.own, { revision: 2, keys: [wrapped('s2')] });
  stores.say('changed', stores.own);
  await waitFor(() => keyring.upToDate, { what: 'revision 2' });
  assert.deepEqual([keyring.store, stores.second.questions, stores.own.questions], ['edge-1', 0, 2]);
});

test('a store that is behind says why, and the signer says it too', async (t) => {
  const { keyring, stores } = await setUp(t, (own) => Object.assign(own, { behind: 'NATS is away' }), clustered);
  assert.match(keyring.behind ?? '', /edge-1: NATS is away/);
  assert.equal(keyring.upToDate, false);
  assert.deepEqual(selectors(keyring), ['s1']);
  stores.own.behind = undefined;
  await waitFor(() => keyring.upToDate, { what: 'another answer' });
});

test('news is announced: another revision, and falling behind', async (t) => {
  const { keyring, store, announce } = await setUp(t);
  const told: (number | string)[] = [];
  const stop = keyring.onNews(() => told.push(keyring.behind ?? keyring.revision));
  store.revision = 2;
  announce();
  await waitFor(() => told.length === 1, { what: 'news' });
  store.down = 'unavailable';
  announce(3);
  await waitFor(() => told.length === 2, { what: 'more news' });
  stop();
  Object.assign(store, { down: undefined, revision: 3 });
  await waitFor(() => keyring.behind === undefined, { what: 'an answer' });
  assert.deepEqual(told, [2, 'node edge-1: unavailable']);
});

const STATES: [SigningKey['state'], boolean][] = [
  ['created', false],
  ['replicated', false],
  ['published', false],
  ['proven', false],
  ['active', true],
  ['retiring', false],
];

for (const [state, signs] of STATES) {
  test(`a key that is ${state} is held, and ${signs ? 'signs' : 'does not sign'}`, async (t) => {
    const { keyring } = await setUp(t, (s) => {
      s.keys = [wrapped('s1', { state })];
    });
    assert.deepEqual(selectors(keyring), signs ? ['s1'] : []);
    assert.equal(keyring.signing().length, signs ? 1 : 0);
    const held = keyring.held('example.com', 's1');
    assert.deepEqual([held?.usable, held?.fingerprint], [true, publicKeyFingerprint(published)]);
    assert.equal(keyring.held('example.com', 's2'), undefined);
    assert.equal(keyring.held('example.org', 's1'), undefined);
  });
}

test('a key whose private part does not belong to its public one is unusable', async (t) => {
  const { keyring } = await setUp(t, (s) => {
    const other = publishedBytes(generateKeyPairSync('ed25519').publicKey).toString('base64');
    s.keys = [wrapped('s1', { publicKey: other }), wrapped('s2')];
  });
  assert.deepEqual(selectors(keyring), ['s1?', 's2']);
  const held = keyring.held('example.com', 's1');
  assert.match(held?.usable === false ? held.reason : '', /s1 of example\.com does not belong to its public key/);
});

test('a key that is re-wrapped stays usable, though this node lacks its new NEK', async (t) => {
  const other = generateNek('new');
  const { keyring, store, announce } = await setUp(t);
  const before = keyring.held('example.com', 's1');
  store.revision = 2;
  store.keys = [wrapped('s1', { nek: other }), wrapped('s2', { nek: other })];
  announce();
  await waitFor(() => keyring.revision === 2, { what: 'revision 2' });
  assert.deepEqual(selectors(keyring), ['s1', 's2?']);
  assert.deepEqual(keyring.held('example.com', 's1'), before);
});

test('several NEKs open what each has wrapped; one that comes later opens its keys immediately', async (t) => {
  const [second, third] = [generateNek('second'), generateNek('third')];
  const { keyring, file } = await setUp(t, async (s, nek) => {
    await writeFile(nek, NEK + second, { mode: 0o600 });
    s.keys = [wrapped('s1'), wrapped('s2', { nek: second }), wrapped('s3', { nek: third })];
  });
  assert.deepEqual(selectors(keyring), ['s1', 's2', 's3?']);
  const fingerprints = [NEK, second, third].map((text) => parseNek(text).fingerprint);
  assert.deepEqual(keyring.neks, fingerprints.slice(0, 2));
  await writeFile(file, NEK + second + third, { mode: 0o600 });
  await keyring.refreshNeks();
  await waitFor(() => selectors(keyring)[2] === 's3', { what: 'the third key' });
  assert.deepEqual(keyring.neks, fingerprints);
  await rm(file);
  await keyring.refreshNeks();
  assert.deepEqual(keyring.neks, []);
  assert.deepEqual(selectors(keyring), ['s1', 's2', 's3']);
});

test('RSA signs before Ed25519, whatever their selectors', async (t) => {
  const { keyring } = await setUp(t, (s) => {
    s.keys = [wrapped('a'), { ...wrapped('b'), algorithm: 'rsa-2048' }];
  });
  // The algorithm is authenticated, so the changed one does not open; its place shows the order.
  assert.deepEqual(selectors(keyring), ['b?', 'a']);
});

test('keys that changed without a newer revision are fetched: the store lost a change and took another', async (t) => {
  const { store, announce, keyring } = await setUp(t);
  store.keys = [wrapped('s2')];
  announce();
  await waitFor(() => selectors(keyring).join() === 's2', { what: 'the other key to sign' });
  assert.equal(keyring.revision, 1);
});

test('after close nothing is held and nothing is asked', async (t) => {
  const { keyring, store, announce } = await setUp(t);
  const { questions } = store;
  keyring.close();
  announce(9);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.questions, questions);
  assert.deepEqual(keyring.all(), []);
});

test('nothing shows a private key', async (t) => {
  const { keyring, lines } = await setUp(t);
  const seed = pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
  const shown = `${inspect(keyring.all(), { depth: 9, showHidden: true })}${JSON.stringify(keyring.all())}${JSON.stringify(lines())}`;
  for (const encoding of ['hex', 'base64', 'base64url'] as const) {
    assert.equal(shown.includes(seed.toString(encoding).slice(0, 30)), false);
  }
});
