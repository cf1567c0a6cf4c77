import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import { type CredentialStoreContract, credentialStoreContract } from '#services/credential-store/contract.ts';
import { createCredentialStoreService } from '#services/credential-store/service.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import type { Client, Service } from '#shared/contract.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { dkimRecordName, dkimRecordValue } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyState } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The NEK of every node that is not given another one. */
export const NEK = generateNek('edge');

/** The domains of a node: all but `manual.test` are in no DNS. */
const DOMAINS = [
  ...['example.com', 'a.example', 'b.example', 'bücher.example'].map((name) => ({ name, keys: { proof: 'none' } })),
  { name: 'manual.test', keys: { publish: 'manual' } },
];

export type NodeOptions = {
  /** `edge-1` by default. */
  name?: string;
  /** Text of the NEK file; null: none is configured. */
  nek?: string | null;
  log?: Logger;
  /** More sections of the configuration, in place of those of the fixture. */
  config?: object;
  /** The server of `manual.test`. */
  dns?: Zone | undefined;
  /** A LocalBus by default. It is drained at the end. */
  bus?: Bus;
};

export type StoreNode = AsyncDisposable & {
  calls: Client<CredentialStoreContract>;
  settings: Settings;
  nekFile: string;
  /** As they were announced by `changed`. */
  revisions: number[];
  stopSigner(): Promise<void>;
};

/** A node with a credential-store and a signer, its data in a folder. */
export async function startNode(data: string, options: NodeOptions = {}): Promise<StoreNode> {
  const { name = 'edge-1', nek = NEK, log = silentLogger, config, dns } = options;
  const nekFile = join(data, 'nek.key');
  if (nek !== null) await writeFile(nekFile, nek, { mode: 0o600 });
  const settings = new Settings(
    ConfigSchema.parse({
      node: { name, data },
      credentials: nek === null ? {} : { nek: nekFile },
      domains: DOMAINS,
      keys: { 'retire-after': '1s', 'keep-revoked': '1s' },
      dns: dns === undefined ? {} : { timeout: '1s', zones: [{ name: Zone.NAME, servers: [dns.server] }] },
      ...config,
    }),
  );
  await using undo = new AsyncDisposableStack();
  const bus = options.bus ?? new LocalBus(name);
  const calls = client(bus, credentialStoreContract);
  const onStores = listen(bus, credentialStoreContract, log);
  const common = { settings, log, onStores };
  const store = createCredentialStoreService({
    ...common,
    announce: announcer(bus, credentialStoreContract),
    stores: calls,
    signer: client(bus, signerContract),
    onSigners: listen(bus, signerContract, log),
    onPolicies: listen(bus, policyContract, log),
    listener: client(bus, listenerContract),
    member: client(bus, memberContract),
    jetStream: bus.jetStream,
  });
  const signer = createSignerService({ ...common, credentials: calls, announce: announcer(bus, signerContract) });
  const revisions: number[] = [];
  onStores('changed', ({ node, revision }) => node === name && revisions.push(revision));
  undo.defer(() => bus.drain());
  await start(bus, store, log, undo);
  const stopSigner = await start(bus, signer, log, undo);
  const resources = undo.move();
  return { calls, settings, nekFile, revisions, stopSigner, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** As node.ts does it. Answers the way to stop it early. */
async function start(
  bus: Bus,
  service: Service,
  log: Logger,
  undo: AsyncDisposableStack,
): Promise<() => Promise<void>> {
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= service.stop();
    return stopped;
  };
  undo.defer(stop);
  await service.start();
  const actor = serve(bus, service, log);
  return () => {
    actor.close();
    return stop();
  };
}

/** The zone `manual.test` on one name server, whose administrator is the test. */
export class Zone implements AsyncDisposable {
  static readonly NAME = 'manual.test';
  /** By owner name. */
  readonly records = new Map<string, string[]>();
  readonly fake: FakeDns;

  private constructor(fake: FakeDns) {
    this.fake = fake;
  }

  static async start(): Promise<Zone> {
    const zone = new Zone(
      await FakeDns.start((query) => {
        const name = query.questions[0]?.name ?? '';
        const texts = zone.records.get(name);
        return texts === undefined
          ? answerTo(query, { rcode: 3 })
          : answerTo(query, { answers: texts.map((text) => txt(name, text)) });
      }),
    );
    return zone;
  }

  get server(): string {
    return this.fake.server;
  }

  publish(key: Pick<KeyStatus, 'domain' | 'selector' | 'algorithm' | 'publicKey'>): void {
    this.records.set(dkimRecordName(key), [dkimRecordValue(key)]);
  }

  /** What RFC 6376 §3.6.1 says of a key that is not to be believed any more. */
  revoke(key: Pick<KeyStatus, 'domain' | 'selector' | 'algorithm'>): void {
    this.publish({ ...key, publicKey: '' });
  }

  remove(key: { domain: string; selector: string }): void {
    this.records.delete(dkimRecordName(key));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fake[Symbol.asyncDispose]();
  }
}

/** A request for a key of the kind that is made fastest. */
export const ed25519 = (selector: string, domain = 'example.com') => ({
  ...{ domain, selector },
  algorithm: 'ed25519' as const,
});

/** Resolves to the key when it is in the state. */
export async function reaches(
  node: StoreNode,
  selector: string,
  state: KeyState,
  domain = 'example.com',
): Promise<KeyStatus> {
  return waitFor(
    async () => {
      const key = await node.calls['key-show']({ domain, selector });
      return key.state === state && key;
    },
    { what: `${selector} of ${domain} to be ${state}`, timeout: 15_000 },
  );
}

/** Make a key and wait until it signs. */
export async function activeKey(node: StoreNode, selector: string, domain = 'example.com'): Promise<KeyStatus> {
  await node.calls['key-create']({ ...ed25519(selector, domain), activate: true });
  return reaches(node, selector, 'active', domain);
}

/** For `assert.rejects`: a `SealpostError` with this code, and with all of these in its text. */
export function fails(code: string, ...texts: (RegExp | string)[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SealpostError, String(error));
    assert.equal(error.code, code, error.message);
    for (const text of texts) {
      if (typeof text === 'string') assert.ok(error.message.includes(text), `${error.message} does not say ${text}`);
      else assert.match(error.message, text);
    }
    return true;
  };
}
