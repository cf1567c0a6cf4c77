import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { ConfigSchema } from '#cluster/config/schema.ts';
import { Settings } from '#cluster/settings.ts';
import type { SigningKey } from '#services/credential-store/contract.ts';
import { Keyring, type KeyringDeps } from '#services/signer/keyring.ts';
import { SealpostError } from '#shared/errors.ts';
import { wrapKey } from '#shared/key-wrap.ts';
import { generateNek, parseNek } from '#shared/nek.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const NEK = generateNek('edge');
const pair = generateKeyPairSync('ed25519');

function wrapped(selector: string, domain = 'example.com', nek = NEK): SigningKey {
  const id = { domain, selector, algorithm: 'ed25519' as const };
  const info = { ...id, state: 'active' as const, created: 0, fingerprint: '', publicKey: '' };
  return { ...info, wrapped: wrapKey(parseNek(nek), id, pair.privateKey) };
}

type Heard = (payload: { revision: number }) => void;

/** A credential-store whose answers the test decides, `page` keys at a time. */
class FakeStore {
  revision = 1;
  keys: SigningKey[] = [wrapped('s1')];
  down = false;
  questions = 0;
  page = Number.POSITIVE_INFINITY;
  #listener: Heard = () => undefined;

  readonly credentials: KeyringDeps['credentials'] = {
    signingKeys: async ({ after }) => {
      this.questions++;
      if (this.down) throw new SealpostError('unavailable', 'no credential-store service answers');
      const start = after === undefined ? 0 : Number(after);
      const end = start + this.page;
      const next = end < this.keys.length ? { next: String(end) } : {};
      return { revision: this.revision, keys: this.keys.slice(start, end), ...next };
    },
    create: () => assert.fail(),
    list: () => assert.fail(),
    get: () => assert.fail(),
    delete: () => assert.fail(),
  };

  readonly onChanged: KeyringDeps['onChanged'] = (_name, listener) => {
    this.#listener = listener as Heard;
    return () => {
      this.#listener = () => undefined;
    };
  };

  announce(revision = this.revision): void {
    this.#listener({ revision });
  }
}

type SetUp = {
  store: FakeStore;
  keyring: Keyring;
  settings: Settings;
  file: string;
  lines: ReturnType<typeof logLines>['lines'];
};

async function setUp(
  t: TestContext,
  prepare: (store: FakeStore, file: string) => unknown = () => undefined,
): Promise<SetUp> {
  const data = await tempDir();
  const file = join(data.path, 'nek.key');
  await writeFile(file, NEK, { mode: 0o600 });
  const settings = new Settings(ConfigSchema.parse({ credentials: { nek: file } }));
  const store = new FakeStore();
  await prepare(store, file);
  const { log, lines } = logLines();
  const keyring = new Keyring({ settings, log, credentials: store.credentials, onChanged: store.onChanged });
  t.after(async () => {
    keyring.close();
    await data[Symbol.asyncDispose]();
  });
  await keyring.open();
  return { store, keyring, settings, file, lines };
}

const selectors = (keyring: Keyring, domain = 'example.com'): string[] =>
  keyring.keysOf(domain).map((k) => `${k.selector}${k.usable ? '' : '?'}`);

test('a store that is away at the start: nothing is loaded until it answers, asked again by itself', async (t) => {
  const { store, keyring, lines } = await setUp(t, (s) => {
    s.down = true;
  });
  assert.equal(keyring.loaded, false);
  assert.equal(keyring.upToDate, false);
  await waitFor(() => store.questions > 1, { what: 'a second question' });
  store.down = false;
  await waitFor(() => keyring.loaded, { what: 'the keys' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, true);
  assert.equal(lines().filter((l) => l.level === 'error').length, 1);
});

test('a store that was away for long is found again within 4 s', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { store, keyring } = await setUp(t, (s) => {
    s.down = true;
  });
  const asked = async (when: () => boolean): Promise<void> => {
    for (let i = 0; i < 1000 && !when(); i++) await new Promise((resolve) => setImmediate(resolve));
  };
  for (let questions = 1; questions < 20; questions++) {
    await asked(() => store.questions === questions);
    await asked(() => false);
    t.mock.timers.tick(4000);
  }
  store.down = false;
  await asked(() => false);
  t.mock.timers.tick(4000);
  await asked(() => keyring.loaded);
  assert.equal(keyring.loaded, true);
});

test('keys stay when the store goes away, and an announcement brings new ones', async (t) => {
  const { store, keyring } = await setUp(t);
  store.down = true;
  store.announce(2);
  await waitFor(() => store.questions > 1, { what: 'a question' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, false);
  store.down = false;
  store.revision = 3;
  store.keys = [wrapped('s2')];
  store.announce();
  await waitFor(() => keyring.revision === 3, { what: 'revision 3' });
  assert.deepEqual(selectors(keyring), ['s2']);
  assert.equal(keyring.upToDate, true);
});

test('an announcement of what is held asks nothing', async (t) => {
  const { store, keyring } = await setUp(t);
  store.announce(1);
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
  for (let i = 0; i < 1000 && keyring.revision !== 2; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(selectors(keyring), ['s1', 's2']);
});

test('pages are put together; a change between them begins anew', async (t) => {
  const { keyring, store } = await setUp(t, (s) => {
    s.page = 1;
    s.keys = [wrapped('s1'), wrapped('s2'), wrapped('s3')];
    const ask = s.credentials.signingKeys;
    let changed = false;
    Object.assign(s.credentials, {
      signingKeys: (request: { after?: string | undefined }) => {
        if (request.after === '2' && !changed) {
          changed = true;
          s.revision++;
          s.keys = [wrapped('s4'), ...s.keys];
        }
        return ask(request);
      },
    });
  });
  assert.deepEqual(selectors(keyring), ['s4', 's1', 's2', 's3']);
  assert.equal(keyring.revision, store.revision);
});

test('a store that lost its data does not take the keys away', async (t) => {
  const { store, keyring, lines } = await setUp(t, (s) => {
    s.revision = 7;
  });
  store.revision = 0;
  store.keys = [];
  store.announce();
  await waitFor(() => lines().some((l) => l.level === 'error'), { what: 'an error in the log' });
  assert.deepEqual(selectors(keyring), ['s1']);
  assert.equal(keyring.upToDate, false);
  assert.match(String(lines().find((l) => l.level === 'error')?.['reason']), /lost changes \(revision 0 instead of 7/);
});

test('a key under another NEK is unusable with a reason that names both; the others sign', async (t) => {
  const { keyring, lines } = await setUp(t, (s) => {
    s.keys = [wrapped('s1'), wrapped('s2', 'example.com', generateNek('old'))];
  });
  assert.deepEqual(selectors(keyring), ['s1', 's2?']);
  const error = lines().find((l) => l.level === 'error');
  assert.match(
    String(error?.['reason']),
    /s2 of example\.com was wrapped with NEK old \([0-9a-f]{16}\), but .* edge \(/,
  );
});

test('a damaged key is unusable; the others sign', async (t) => {
  const { keyring } = await setUp(t, (s) => {
    s.keys = [{ ...wrapped('s1'), selector: 's0' }, wrapped('s2')];
  });
  assert.deepEqual(selectors(keyring), ['s0?', 's2']);
});

test('a NEK that comes later is taken at the next answer; said once, not at every answer', async (t) => {
  const { keyring, store, file, lines } = await setUp(t, (_s, nek) => rm(nek));
  assert.equal(keyring.loaded, true);
  assert.deepEqual(selectors(keyring), ['s1?']);
  store.revision = 2;
  store.announce();
  await waitFor(() => keyring.revision === 2, { what: 'revision 2' });
  const errors = lines().filter((l) => l.level === 'error');
  assert.equal(errors.length, 1);
  assert.match(String(errors[0]?.['reason']), /nek\.key does not exist/);
  await writeFile(file, NEK, { mode: 0o600 });
  store.revision = 3;
  store.announce();
  await waitFor(() => selectors(keyring)[0] === 's1', { what: 'the key' });
});

test('a NEK that goes away later takes no key that is held', async (t) => {
  const { keyring, store, file } = await setUp(t);
  await rm(file);
  store.revision = 2;
  store.keys = [...store.keys, wrapped('s2')];
  store.announce();
  await waitFor(() => keyring.revision === 2, { what: 'revision 2' });
  assert.deepEqual(selectors(keyring), ['s1', 's2?']);
});

test('a changed configuration is in force at once', async (t) => {
  const { keyring, settings, file } = await setUp(t, (_s, nek) => rm(nek));
  const other = `${file}.other`;
  await writeFile(other, NEK, { mode: 0o600 });
  settings.replace(ConfigSchema.parse({ credentials: { nek: other } }));
  await waitFor(() => selectors(keyring)[0] === 's1', { what: 'the key' });
});

test('RSA signs before Ed25519, whatever their selectors', async (t) => {
  const { keyring } = await setUp(t, (s) => {
    s.keys = [wrapped('a'), { ...wrapped('b'), algorithm: 'rsa-2048' }];
  });
  // The algorithm is authenticated, so the changed one does not open; its place shows the order.
  assert.deepEqual(selectors(keyring), ['b?', 'a']);
});

test('after close nothing is held and nothing is asked', async (t) => {
  const { keyring, store } = await setUp(t);
  const { questions } = store;
  keyring.close();
  store.announce(9);
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
