import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serve } from '#cluster/actor.ts';
import { openControl } from '#cluster/bus/control-socket.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { type CredentialStoreContract, credentialStoreContract } from '#services/credential-store/contract.ts';
import type { Handlers } from '#shared/contract.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import { silentLogger } from '#shared/log.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { tempDir } from '#test/kit/temp.ts';

/** A node with only a credential-store, which answers as a test says, at a real control socket. */
export type FakeStore = AsyncDisposable & {
  folder: string;
  /** Every request in its order: operation and fields. */
  calls: { operation: string; request: unknown }[];
  /** Run `sealpost` in its folder. */
  run(...args: string[]): Promise<CommandResult>;
  /** Close the door, as a node that stops does, and open it again. */
  close(): Promise<void>;
  open(): Promise<void>;
};

export async function fakeStore(
  handlers: Partial<Handlers<CredentialStoreContract>>,
  credentials = 'credentials: { nek: ./secrets/nek.key }',
): Promise<FakeStore> {
  const folder = await tempDir('keys');
  const data = join(folder.path, 'data');
  await mkdir(data);
  await writeFile(join(folder.path, 'sealpost.yaml'), `node: { data: ./data }\nlisteners: []\n${credentials}\n`);
  const calls: FakeStore['calls'] = [];
  const bus = new LocalBus('edge-1');
  const all = Object.fromEntries(
    Object.keys(credentialStoreContract.operations).map((operation) => [
      operation,
      (request: unknown, context: never) => {
        calls.push({ operation, request });
        const handler = handlers[operation as keyof typeof handlers] as ((...args: unknown[]) => unknown) | undefined;
        if (handler === undefined) throw new Error(`the test does not expect ${operation}`);
        return handler(request, context);
      },
    ]),
  ) as unknown as Handlers<CredentialStoreContract>;
  const done = async (): Promise<void> => undefined;
  serve(bus, { contract: credentialStoreContract, handlers: all, start: done, stop: done }, silentLogger);
  let control = await openControl(data, bus, silentLogger);
  return {
    folder: folder.path,
    calls,
    run: (...args) => sealpost(args, { cwd: folder.path }),
    close: () => control.close(),
    open: async () => {
      control = await openControl(data, bus, silentLogger);
    },
    [Symbol.asyncDispose]: async () => {
      await control.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** An active RSA key on one node, with what a test says instead. */
export function keyStatus(own: Partial<KeyStatus> = {}): KeyStatus {
  const name = { domain: 'example.com', selector: 's1', ...own };
  return {
    ...name,
    algorithm: 'rsa-2048',
    state: 'active',
    created: Date.now() - 3 * 86_400_000,
    since: Date.now() - 60_000,
    fingerprint: Array.from({ length: 32 }, (_, i) => (0xa0 + i).toString(16).toUpperCase()).join(':'),
    publicKey: 'MIIB'.repeat(98),
    activate: true,
    signed: true,
    publish: 'manual',
    record: `${name.selector}._domainkey.${name.domain}`,
    ttl: 3600,
    nek: 'edge',
    nodes: { holding: ['edge-1'], live: 1 },
    dns: { node: 'edge-1', verdict: 'ok', summary: 'ok', servers: [], at: Date.now() },
    ...own,
  };
}

/** A rotation from s1 to s2 that runs, with what a test says instead. */
export function rotationStatus(own: Partial<RotationStatus> = {}): RotationStatus {
  return {
    domain: 'example.com',
    id: 'r1',
    started: 1_767_225_600_000,
    by: 'edge-1',
    driver: 'edge-1',
    state: 'running',
    waiting: 'its record is missing at ns1.example.com',
    to: [{ selector: 's2', algorithm: 'rsa-2048', state: 'replicated' }],
    from: [{ selector: 's1', algorithm: 'rsa-2048', state: 'active' }],
    events: [{ at: 1_767_225_600_000, node: 'edge-1', text: 'began' }],
    ...own,
  };
}
