import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Settings } from '#cluster/config/settings.ts';
import { hashPassword } from '#cluster/config/users/password.ts';
import { ClusterDirectory, type ClusterDirectoryDeps } from '#services/policy/directory/cluster-directory.ts';
import { Directories } from '#services/policy/directory/directories.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { type DirectoryRecord, keyOfRecord, type UserRecord } from '#shared/directory/records.ts';
import { proveDirectory } from '#shared/dkim/list-proof.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { config, SECRET } from '#test/unit/policy/fixtures.ts';

/** What policy holds of the cluster's directory, and what it makes of answers that are late, old, forged or missing. */

const NEK = generateNek('edge');
const wrap = (user: string, tag = '', nek = NEK) =>
  wrapSecret(parseNek(nek), passwordPlace(user, tag), Buffer.from(SECRET));

const user = (name: string, more: Partial<UserRecord> = {}): UserRecord => ({
  ...{ kind: 'user', name, addresses: [`${name}@x.test`], onBehalfOf: [], password: wrap(name), appPasswords: [] },
  ...more,
});

type Listener = (payload: never) => void;

/** The credential-store of this node, and what it announces. */
class FakeStore {
  readonly records = new Map<string, string>();
  revision = 0;
  asked = 0;
  down = false;
  /** Proves with this one. */
  nek: string | undefined = NEK;
  behind: string | undefined;
  readonly used: { user: string; tag: string; day: string }[] = [];
  readonly #listeners = new Map<string, Listener>();

  put(...records: DirectoryRecord[]): void {
    for (const record of records) this.records.set(keyOfRecord(record), JSON.stringify(record));
    this.say();
  }

  say(): void {
    this.revision++;
    this.tell('directory-changed', { node: 'edge-1', revision: this.revision });
  }

  tell(event: string, payload: object): void {
    this.#listeners.get(event)?.(payload as never);
  }

  readonly deps = {
    announce: () => undefined,
    credentials: {
      'directory-list': async (request: { nonce?: string; since?: string; after?: string }) => {
        this.asked++;
        if (this.down) throw new SealpostError('unavailable', 'no store answers');
        const records = [...this.records].map(([key, json]) => ({ key, json }));
        const list = { node: 'edge-1', revision: this.revision, records, ...(this.behind && { behind: this.behind }) };
        if (this.nek === undefined) return list;
        return { ...list, macs: proveDirectory([parseNek(this.nek)], { nonce: '', ...request }, list) };
      },
      'app-password-used': async (request: { user: string; tag: string; day: string }) => {
        this.used.push(request);
        return {};
      },
    } as unknown as ClusterDirectoryDeps['credentials'],
    onStores: ((name: string, listener: Listener) => {
      this.#listeners.set(name, listener);
      return () => this.#listeners.delete(name);
    }) as unknown as ClusterDirectoryDeps['onStores'],
  };
}

async function setUp(t: TestContext, prepare: (store: FakeStore) => void = () => undefined, clustered = true) {
  const data = await tempDir();
  const nek = join(data.path, 'nek.key');
  await writeFile(nek, NEK, { mode: 0o600 });
  const store = new FakeStore();
  prepare(store);
  const { log, lines } = logLines();
  const bus = clustered ? { servers: ['nats://127.0.0.1:4222'] } : {};
  const settings = new Settings(config({ node: { name: 'edge-1' }, bus, credentials: { nek } }));
  const cluster = new ClusterDirectory({ settings, log, ...store.deps });
  const directories = new Directories({
    log,
    cluster,
    isLocal: () => true,
    inLocalDomain: (one) => one,
    delimiter: () => '+',
  });
  t.after(async () => {
    directories.close();
    await data[Symbol.asyncDispose]();
  });
  await directories.open({});
  const ask = () => {
    const directory = directories.ask({ users: ['alice'], addresses: ['alice@x.test'] });
    assert.ok(!(directory instanceof Promise));
    return directory;
  };
  const logIn = async (name: string, password: string, address = '192.0.2.7') => {
    const directory = directories.ask({ users: [name] });
    assert.ok(!(directory instanceof Promise));
    return directory?.user(name)?.verify(Buffer.from(password), address);
  };
  return { store, cluster, directories, ask, logIn, lines, nek, log };
}

test('a change is in force at its announcement, and costs nothing of what did not change', async (t) => {
  const { store, ask, cluster } = await setUp(t, (s) => s.put(user('alice'), user('bob')));
  const bob = ask()?.user('bob');
  assert.deepEqual(ask()?.resolve('alice@x.test')?.addresses, ['alice@x.test']);
  store.put(user('alice', { addresses: ['new@x.test', '@lists.test'] }));
  await waitFor(() => cluster.revision === 2, { what: 'the change' });
  assert.equal(ask()?.resolve('alice@x.test'), undefined);
  assert.deepEqual(ask()?.resolve('new@x.test')?.addresses, ['new@x.test']);
  assert.ok(ask()?.permits('ALICE', 'any@lists.test'));
  assert.equal(ask()?.user('bob'), bob);
  store.records.clear();
  store.say();
  await waitFor(() => ask() === null, { what: 'the empty directory' });
});

test('policy goes on with what it holds while the stores are away; with nothing held all that is asked is unknown', async (t) => {
  const { store, logIn } = await setUp(t, (s) => s.put(user('alice')));
  store.down = true;
  store.tell('directory-changed', { node: 'edge-1', revision: 99 });
  await waitFor(() => store.asked > 1, { what: 'a question' });
  assert.deepEqual(await logIn('alice', 'secret'), { outcome: 'right' });

  const unknown = await setUp(t, (s) => {
    s.down = true;
  });
  assert.equal(unknown.ask(), undefined);
  assert.ok(unknown.lines().some(({ msg }) => /directory cannot be read: log-ins and mail .* are deferred/.test(msg)));
  unknown.store.down = false;
  unknown.store.put(user('alice'));
  await waitFor(unknown.ask, { what: 'the directory' });
});

test('answers without the NEK, of another NEK, or older than what is held are not used', async (t) => {
  const { store, ask, cluster, lines } = await setUp(t, (s) => s.put(user('alice')));
  const refused = async (prepare: () => void, why: RegExp) => {
    prepare();
    store.put(user('mallory', { addresses: ['*'] }));
    await waitFor(() => lines().some(({ error }) => why.test(String(error))), { what: `a line about ${why}` });
    assert.equal(ask()?.user('mallory'), undefined);
    store.records.delete('user!mallory');
    store.nek = NEK;
    store.say();
    await waitFor(() => cluster.revision === store.revision, { what: 'a good answer' });
  };
  await refused(() => {
    store.nek = undefined;
  }, /did not prove that it has the NEK.*its directory entries are not used/);
  await refused(() => {
    store.nek = generateNek('other');
  }, /has NEK [0-9a-f]+, but configured/);
  store.revision = 0;
  store.put(user('mallory'));
  await waitFor(() => lines().some(({ error }) => /lost changes.*restart policy/.test(String(error))), {
    what: 'a line',
  });
  assert.equal(ask()?.user('mallory'), undefined);
});

test('a record that is damaged, or of a newer version, leaves unknown only what is not found elsewhere', async (t) => {
  const { directories, lines } = await setUp(t, (s) => {
    s.put(user('alice'));
    s.records.set('role!admins', '{"kind":"role"}');
    s.records.set('user!damaged', '');
  });
  const asks = (...users: string[]) => directories.ask({ users });
  assert.ok(asks('alice') instanceof Object);
  assert.equal(asks('bob'), undefined);
  assert.equal(lines().filter(({ msg }) => /newer Sealpost/.test(msg)).length, 2);
});

test('where all stores are of the version before there is no directory; the first that has one ends that', async (t) => {
  const { store, ask } = await setUp(t, (s) => {
    s.down = true;
  });
  store.tell('present', { node: 'edge-2', revision: 7 });
  assert.equal(ask(), undefined);
  await waitFor(() => ask() === null, { what: 'that there is none', timeout: 8000 });
  store.tell('present', { node: 'edge-1', revision: 7, directory: 0 });
  assert.equal(ask(), undefined);
});

test('an app password is right in every spelling and from its networks alone; its use is told once a day', async (t) => {
  const typed = 'abcd-efgh-ijkl-mnop-qrst-uvwx';
  const own = await hashPassword(typed);
  const password = wrapSecret(parseNek(NEK), passwordPlace('alice', 'abcd'), Buffer.from(own));
  const phone = { tag: 'abcd', name: 'phone', password, networks: ['192.0.2.0/24'], created: 0 };
  const { store, logIn, directories } = await setUp(t, (s) => s.put(user('alice', { appPasswords: [phone] })));
  const right = { outcome: 'right', appPassword: 'phone' };
  for (const text of [typed, 'ABCD EFGH IJKL MNOP QRST UVWX', 'abcdefghijklmnopqrstuvwx']) {
    assert.deepEqual(await logIn('alice', text), right);
  }
  assert.equal(store.used.length, 1);
  const elsewhere = await logIn('alice', typed, '198.51.100.1');
  assert.ok(elsewhere?.outcome === 'wrong' && elsewhere.reason?.includes('phone is not for clients'));
  // Behind a gateway the address tells nothing.
  const directory = directories.ask({ users: ['alice'] });
  assert.ok(directory !== null && directory !== undefined && !(directory instanceof Promise));
  assert.equal((await directory.user('alice')?.verify(Buffer.from(typed), undefined))?.outcome, 'wrong');
  assert.equal((await logIn('alice', typed.replace('efgh', 'efgi')))?.outcome, 'wrong');
  assert.deepEqual(await logIn('alice', 'secret'), { outcome: 'right' });
  store.put(user('alice'));
  await waitFor(async () => (await logIn('alice', typed))?.outcome === 'wrong', { what: 'the revocation' });
});

test('a password under a NEK that policy lacks is not wrong, and is checked as soon as the NEK is there', async (t) => {
  const next = generateNek('next');
  const { logIn, nek } = await setUp(t, (s) =>
    s.put(user('alice', { password: wrap('alice', '', next) }), user('bob', { password: wrap('carol') })),
  );
  const verdict = await logIn('alice', 'secret');
  assert.ok(verdict?.outcome === 'unchecked' && /password of user alice is wrapped with NEK next/.test(verdict.reason));
  await writeFile(nek, NEK + next);
  assert.deepEqual(await logIn('alice', 'secret'), { outcome: 'right' });
  // The hash of somebody else does not open in this place.
  assert.equal((await logIn('bob', 'secret'))?.outcome, 'unchecked');
});
