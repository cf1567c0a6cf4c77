import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Settings } from '#cluster/settings.ts';
import { Store } from '#cluster/store.ts';
import type { Calls } from '#cluster/topology.ts';
import { Bodies } from '#services/router/bodies.ts';
import { type RouterContract, routerContract } from '#services/router/contract.ts';
import { Control } from '#services/router/control.ts';
import { Corrupt } from '#services/router/corrupt.ts';
import { createDelivery, type DeliveryDependencies } from '#services/router/delivery/delivery.ts';
import { Lanes } from '#services/router/delivery/lanes.ts';
import { Intake } from '#services/router/intake.ts';
import type { Delivery } from '#services/router/job.ts';
import { Maintenance } from '#services/router/maintenance.ts';
import { Views } from '#services/router/operations.ts';
import { Queue } from '#services/router/queue.ts';
import { recover } from '#services/router/recovery.ts';
import { Routing } from '#services/router/routing.ts';
import { Settlement } from '#services/router/settlement.ts';
import type { RouterPeers } from '#services/router/shares.ts';
import { Signing } from '#services/router/signing.ts';
import { Slots } from '#services/router/slots.ts';
import { Space } from '#services/router/space.ts';
import { CALL_ERRORS, type Handlers, type Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The router: this node's durable queue, from a transfer to the fate of the last recipient.
 *
 *   intake.ts      transfers become messages on disk
 *   queue.ts       which message is worked on when
 *   attempt.ts     one attempt: signs, hands the bytes to delivery/, takes the outcome
 *   shares.ts      this router's part of the limits that hold for the cluster; delivery/lanes.ts keeps mail to it
 *   settlement.ts  the outcome on disk, with the notices that it calls for
 *   recovery.ts    what a start finds
 *   operations.ts  what operators see; control.ts what they do
 *
 * States: created → (start: store open, queue read) running → (stop: attempts end, outcomes are written) stopped.
 * Before and after, every call is answered `unavailable`, and the caller tries another router.
 */

export type RouterDependencies = {
  settings: Settings;
  log: Logger;
  signer: Calls<'router', 'signer'>;
  /** The routers of the other nodes; without it there are none. */
  peers?: RouterPeers | undefined;
};
export type DeliveryFactory = (dependencies: DeliveryDependencies) => Delivery;

/**
 * LevelDB maps every table it has open into memory: few and small files keep that small. Mail is written once and read at
 * most once, so a cache of blocks gains nothing, and compressing what is deleted soon costs more than it saves.
 */
const STORE_OPTIONS = {
  maxOpenFiles: 64,
  maxFileSize: 1024 * 1024,
  cacheSize: 2 * 1024 * 1024,
  writeBufferSize: 2 * 1024 * 1024,
  compression: false,
};

/** How long a stop waits for a store that fails before it gives the outcomes of the last attempts up. */
const STOP_MS = 10_000;

type Running = Awaited<ReturnType<typeof assemble>>;

export function createRouterService(
  dependencies: RouterDependencies,
  makeDelivery: DeliveryFactory = createDelivery,
): Service<RouterContract> {
  const { settings, log } = dependencies;
  let running: Running | undefined;
  const router = (): Running => {
    if (running === undefined) throw new SealpostError(CALL_ERRORS.unavailable, 'the router is not running');
    return running;
  };
  return {
    contract: routerContract,
    handlers: handlers(router, settings),
    async start() {
      const lanes = new Lanes({ settings, log, peers: dependencies.peers });
      running = await assemble(dependencies, lanes);
      running.begin(makeDelivery({ settings, log, connectionsTo: (domain) => lanes.connections(domain) }));
    },
    async stop() {
      const stopping = running;
      await stopping?.stop();
      running = undefined;
    },
  };
}

/** Open the store, read the queue, and put the parts together. */
async function assemble({ settings, log, signer }: RouterDependencies, lanes: Lanes) {
  const folder = resolve(settings.current.node.data);
  await mkdir(folder, { recursive: true });
  const store = await Store.open(join(folder, 'queue'), log, STORE_OPTIONS);
  try {
    const slots = new Slots();
    const bodies = new Bodies(store);
    const corrupt = new Corrupt(store, slots, log);
    const routing = new Routing(settings);
    const began = performance.now();
    const found = await recover(store, slots, corrupt, log);
    const ms = Math.round(performance.now() - began);
    log.info({ ...slots.counts, ...found, corrupt: corrupt.count, ms }, 'queue read');
    const space = new Space(folder, () => settings.current.queue.reserve);
    const settlement = new Settlement(settings, store, bodies, log);
    const signing = new Signing(signer, log);
    const queue = new Queue({ settings, log, store, slots, bodies, corrupt, routing, lanes });
    const intake = new Intake({ settings, log, store, space, bodies, deliver: (message) => queue.add(message) });
    const views = new Views({ settings, store, slots, bodies, corrupt, routing, lanes, log });
    const control = new Control({ store, slots, queue, corrupt, settlement, views, log });
    const maintenance = new Maintenance({ settings, store, slots, space, intake, log });
    return {
      intake,
      views,
      control,
      slots,
      corrupt,
      signing,
      begin(delivery: Delivery): void {
        queue.begin(lanes.begin(delivery), { log, store, bodies, corrupt, signing, settlement });
        maintenance.start();
      },
      async stop(): Promise<void> {
        intake.drain();
        queue.end();
        await maintenance.stop();
        // Attempts end when their outcome is on disk; on a disk that stays broken they never would.
        await Promise.race([Promise.all([lanes.stop(), corrupt.settled()]), brokenFor(store, STOP_MS)]);
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Resolves when the store has failed without a break for so many ms; never while it works. */
async function brokenFor(store: Store, ms: number): Promise<void> {
  let since = performance.now();
  while (performance.now() - since < ms) {
    await new Promise((wake) => setTimeout(wake, 100).unref());
    if (store.failure === undefined) since = performance.now();
  }
}

function handlers(router: () => Running, settings: Settings): Handlers<RouterContract> {
  return {
    open({ envelope, origin, sizeHint }, { trace }) {
      const { id, queueId } = router().intake.open(envelope, origin, sizeHint ?? 0, trace);
      return { transfer: id, queueId, node: settings.current.node.name };
    },
    async chunk({ transfer, sequence }, { bytes }) {
      await router().intake.chunk(transfer, sequence, bytes);
      return {};
    },
    async commit(request, { bytes }) {
      return { queueId: await router().intake.commit(request, bytes) };
    },
    abort({ transfer }) {
      router().intake.abort(transfer);
      return {};
    },
    list: (request) => router().views.list(request),
    show: ({ queueId }) => router().views.show(queueId),
    async read({ queueId, offset }) {
      const { total, bytes } = await router().views.read(queueId, offset);
      return { reply: { total }, bytes };
    },
    retry: async (selection) => ({ count: await router().control.retry(selection) }),
    hold: async (selection) => ({ count: await router().control.hold(selection) }),
    release: async (selection) => ({ count: await router().control.release(selection) }),
    remove: async (selection) => ({ count: await router().control.remove(selection, selection.notify) }),
    status() {
      const { slots, corrupt, signing, intake } = router();
      const refusing = intake.refusal()?.message;
      const node = settings.current.node.name;
      return {
        node,
        ...slots.counts,
        corrupt: corrupt.count,
        unsigned: signing.unsigned,
        ...(refusing === undefined ? {} : { refusing }),
      };
    },
  };
}
