import assert from 'node:assert/strict';
import { mock, type TestContext, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { allItems } from '#cluster/follow/source.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { CREDENTIALS_BUCKET, type CredentialStoreContract } from '#services/credential-store/contract.ts';
import { NekSeal } from '#services/credential-store/neks/nek-seal.ts';
import type { OperationDeps } from '#services/credential-store/operations/deps.ts';
import { heldKeys } from '#services/credential-store/operations/key-status.ts';
import { signingKeyList } from '#services/credential-store/operations/signing-keys.ts';
import {
  CredentialRecord,
  type DomainRecord,
  type KeyRecord,
} from '#services/credential-store/records/domain-record.ts';
import { Records } from '#services/credential-store/records/records.ts';
import { KeySource } from '#services/signer/key-source.ts';
import type { Client } from '#shared/contract.ts';
import { proveKeyList } from '#shared/dkim/list-proof.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { silentLogger } from '#shared/log.ts';
import { seededRandom } from '#test/kit/random.ts';
import { tempDir } from '#test/kit/temp.ts';

const WRAPPED = { version: 1 as const, nek: 'n', nekFingerprint: 'f', iv: '', tag: '', data: '' };

function key(selector: string, state: KeyRecord['state'] = 'active'): KeyRecord {
  const times = { created: 0, since: 0, ttl: 60 };
  const wrapped = state === 'retired' ? {} : { wrapped: WRAPPED };
  const flags = { activate: true, signed: true, publication: { by: 'none' as const } };
  return { selector, algorithm: 'ed25519', state, fingerprint: 'f', publicKey: 'p', ...times, ...flags, ...wrapped };
}

const NEK = parseNek(generateNek('edge'));
const neks = async () => [NEK];
/** The store has the NEK: all its answers are proven. */
const seal = new NekSeal(CREDENTIALS_BUCKET);
seal.use([NEK]);

type Answer = Awaited<ReturnType<Client<CredentialStoreContract>['signing-key-list']>>;

/** A source over the records of one real store; `between` runs after each page that is not the last. */
async function setUp(t: TestContext, between: () => Promise<void> = async () => undefined) {
  const dir = await tempDir();
  const store = await Store.open(dir.path, silentLogger);
  const log = silentLogger;
  const settings = new Settings(ConfigSchema.parse({ node: { name: 'edge-1' } }));
  const open = () =>
    ReplicatedMap.open({
      ...{ store, prefix: 'map!', bucket: 'keys', schema: CredentialRecord, node: 'edge-1', log },
      ...{ jetStream: undefined, replicas: 1 },
    });
  const site = { map: await open(), answers: [] as Answer[], records: undefined as unknown as Records };
  site.records = new Records(site.map);
  t.after(async () => {
    await site.map.close();
    await store.close();
    await dir[Symbol.asyncDispose]();
  });
  const deps = (): OperationDeps => {
    const { map, records } = site;
    return { map, records, settings, seal, all: () => records.all() } as Partial<OperationDeps> as OperationDeps;
  };
  const credentials = {
    async 'signing-key-list'(request: { after?: string; since?: string; nonce?: string }) {
      const answer = await signingKeyList(deps(), request);
      site.answers.push(answer);
      if (answer.next !== undefined) await between();
      return answer;
    },
  } as Partial<Client<CredentialStoreContract>> as Client<CredentialStoreContract>;
  const set = (domain: string, ...keys: KeyRecord[]): Promise<unknown> =>
    site.records.update(domain, (before): DomainRecord => ({ domain, used: [], ...before, keys }));
  const restart = async (): Promise<void> => {
    await site.map.close();
    site.map = await open();
    site.records = new Records(site.map);
  };
  const source = new KeySource({ credentials, node: 'edge-1', alone: true, neks });
  return { site, source, set, restart, asked: () => site.answers.splice(0) };
}

const sorted = (keys: SigningKey[]): SigningKey[] =>
  keys.toSorted((a, b) => (`${a.domain}!${a.selector}` < `${b.domain}!${b.selector}` ? -1 : 1));

test('after the first time only what changed is fetched; a store that was restarted is asked for everything', async (t) => {
  const { site, source, set, restart, asked } = await setUp(t);
  for (let i = 0; i < 450; i++) await set(`d${i}.example`, key('s1'));
  assert.equal(allItems((await source.fetch(0)).read).length, 450);
  assert.deepEqual(
    asked().map((a) => [a.keys.length, a.changed]),
    [
      [200, undefined],
      [200, undefined],
      [50, undefined],
    ],
  );
  await set('d7.example', key('s1', 'retiring'), key('s2'));
  await set('d8.example', key('s1', 'retired'));
  await set('new.example', key('s1'));
  const { read, revision } = await source.fetch(450);
  const keys = allItems(read);
  assert.deepEqual([revision, keys.length], [453, 451]);
  assert.deepEqual(
    sorted(keys),
    heldKeys(site.records.all()).map((h) => h.key),
  );
  assert.deepEqual(
    asked().map((a) => [a.keys.length, a.changed?.toSorted()]),
    [[3, ['d7.example', 'd8.example', 'new.example']]],
  );
  await source.fetch(revision);
  assert.deepEqual(
    asked().map((a) => [a.keys.length, a.changed]),
    [[0, []]],
  );
  await restart();
  assert.equal(allItems((await source.fetch(revision)).read).length, 451);
  assert.deepEqual(
    asked().map((a) => a.changed),
    [undefined, undefined, undefined],
  );
});

test('keys that change after every page are read all the same, as they are at the end', async (t) => {
  const random = seededRandom(7);
  let change = async (): Promise<void> => undefined;
  const { site, source, set } = await setUp(t, () => change());
  const states = ['active', 'proven', 'retired', 'retiring'] as const;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  change = async () => {
    for (let n = 0; n < 5; n++) {
      const keys = Array.from({ length: Math.floor(random() * 4) }, (_, k) => key(`s${k}`, pick(states)));
      await set(`d${Math.floor(random() * 500)}.example`, ...keys);
    }
  };
  for (let i = 0; i < 450; i++) await set(`d${i}.example`, key('s0'), key('s1'));
  for (let round = 0; round < 8; round++) {
    const { read, revision } = await source.fetch(0);
    const keys = allItems(read);
    assert.equal(revision, site.records.revision);
    assert.deepEqual(
      sorted(keys),
      heldKeys(site.records.all()).map((h) => h.key),
    );
    // Sometimes more than one page of changes.
    for (let n = 0; n < (round % 3) * 50; n++) await change();
  }
});

test('what the store of this node and a newer one gave is remembered of both, so that turns between them cost little', async () => {
  const revisions: Record<string, number> = { 'edge-1': 1, 'edge-2': 2 };
  let whole = 0;
  const credentials = {
    async 'signing-key-list'({ since, nonce = '' }: { since?: string; nonce?: string }, options?: { node?: string }) {
      const node = options?.node ?? 'edge-1';
      const known = since?.startsWith(`${node}:`) === true;
      if (!known) whole++;
      const whatever = { node, revision: revisions[node] ?? 0, keys: [], cursor: `${node}:1` };
      const answer = known ? { ...whatever, changed: [] } : whatever;
      return { ...answer, macs: proveKeyList([NEK], nonce, answer) };
    },
  } as Partial<Client<CredentialStoreContract>> as Client<CredentialStoreContract>;
  const source = new KeySource({ credentials, node: 'edge-1', alone: false, neks });
  source.hear('edge-1', 1);
  source.hear('edge-2', 2);
  for (let i = 0; i < 5; i++) assert.equal((await source.fetch(0)).revision, 2);
  assert.equal(whole, 2);
});

test('the keys of an answer that was recorded, changed or made without the NEK are not used', async (t) => {
  const { site, set, source } = await setUp(t);
  await set('a.example', key('s1'));
  await set('b.example', key('s1', 'retired'));
  await source.fetch(0);
  const proven = site.answers.at(-1);
  assert.ok(proven?.macs);
  const revived = { ...proven, keys: [...proven.keys, ...proven.keys.map((k) => ({ ...k, domain: 'b.example' }))] };
  const cases: [Answer, RegExp][] = [
    [proven, /edge-1 did not prove/],
    [{ ...revived, revision: proven.revision + 1 }, /edge-1 did not prove/],
    [{ ...proven, macs: [{ nek: 'f00d', mac: '' }] }, /edge-1 has NEK f00d, but configured .*edge/],
  ];
  for (const [answer, message] of cases) {
    const credentials = { 'signing-key-list': async () => answer } as unknown as Client<CredentialStoreContract>;
    const deceived = new KeySource({ credentials, node: 'edge-1', alone: true, neks });
    await assert.rejects(deceived.fetch(0), { code: 'nek-mismatch', message });
  }
});

test('a signer that knows proven stores does not believe one that proves nothing', async (t) => {
  const { set, site, source } = await setUp(t);
  await set('a.example', key('s1'));
  await source.fetch(0);
  seal.use([]);
  t.after(() => seal.use([NEK]));
  await set('a.example', key('s1'), key('s2'));
  await assert.rejects(source.fetch(1), { code: 'nek-mismatch', message: /edge-1 did not prove/ });
  assert.equal(site.answers.at(-1)?.macs, undefined);
});

test('a signer that has just started believes no impostor of the version before, and such stores where there are no others', async (t) => {
  let now = performance.now();
  const clock = mock.method(performance, 'now', () => now);
  t.after(() => clock.mock.restore());
  const answer = { node: 'edge-1', revision: 9, keys: [], cursor: 'c' };
  const credentials = { 'signing-key-list': async () => answer } as unknown as Client<CredentialStoreContract>;
  const start = () => new KeySource({ credentials, node: 'edge-1', alone: false, neks });
  const refused = { code: 'nek-mismatch', message: /edge-1 did not prove/ };

  const deceived = start();
  await assert.rejects(deceived.fetch(0), refused);
  // NATS was away: nobody could be heard.
  now += 60_000;
  deceived.present({});
  await assert.rejects(deceived.fetch(0), refused);
  now += 1000;
  deceived.present({ seals: true });
  now += 60_000;
  deceived.present({});
  await assert.rejects(deceived.fetch(0), refused);

  const earlier = start();
  for (let seconds = 0; seconds < 4; seconds++) {
    earlier.present({});
    now += 1000;
  }
  assert.equal((await earlier.fetch(0)).revision, 9);
});
