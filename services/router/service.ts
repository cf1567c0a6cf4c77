import type { JetStreamAccess } from '#cluster/bus/jetstream-access.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { webhookHandlers } from '#cluster/webhooks/handlers.ts';
import type { Calls } from '#services/topology.ts';
import { type Announce, CALL_ERRORS, type Handlers, type Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { WebServers } from '#shared/mta-sts/fetch.ts';
import { Transcripts } from '#shared/transcript/transcripts.ts';
import { backupHandlers } from './backup/handlers.ts';
import { type RouterContract, routerContract } from './contract.ts';
import { Copies } from './copies/copies.ts';
import { createDelivery, type DeliveryDeps } from './delivery/delivery.ts';
import type { Delivery } from './delivery/job.ts';
import { LostDestinations } from './delivery/tls-policy/lost.ts';
import type { TlsResult } from './delivery/tls-policy/result.ts';
import type { Directives } from './directives/directives.ts';
import { directiveHandlers } from './directives/handlers.ts';
import { type DirectiveBus, openDirectives } from './directives/open.ts';
import { SuspendedMail } from './directives/suspended.ts';
import { abortTransfer } from './intake/abort.ts';
import { Intake, type IntakeDeps } from './intake/intake.ts';
import { announcePresence, presenceOf } from './intake/presence.ts';
import { Maintenance } from './maintenance.ts';
import { capturedPage, capturedPiece } from './operators/captured.ts';
import { Control } from './operators/control.ts';
import { queueHandlers } from './operators/handlers.ts';
import { probeDomain } from './operators/probe.ts';
import { Views } from './operators/views.ts';
import { Pacer } from './pacing/pacer.ts';
import type { DemandBus } from './pacing/shares.ts';
import { placeOf } from './place.ts';
import { Signing } from './queue/opening/signing.ts';
import { mayMove, movesNothing } from './queue/parking/changed-ways.ts';
import { knownAtStart } from './queue/parking/known-hop.ts';
import { Queue } from './queue/queue.ts';
import { Routing } from './queue/routing.ts';
import { type OnSettled, Settlement } from './queue/settling/settlement.ts';
import { SearchIndex } from './receipts/search-index.ts';
import { openReceivedReports, ReportReader } from './received-reports/report-reader.ts';
import { Rules } from './rules/rules.ts';
import { openReports, type ReportsTools } from './sent-reports/open.ts';
import { brokenFor } from './store/broken.ts';
import { openQueue } from './store/open.ts';
import type { Slot } from './store/slots.ts';
import { type MemoryBus, openTlsMemory } from './tls-memory/open.ts';
import { openWebhooks, queueStateOf } from './webhooks/open.ts';

/**
 * The router: this node's durable queue, from a transfer to the fate of the last recipient.
 *
 *   intake/     transfers become messages on disk
 *   rules/      what the configuration has the queue do with some of the mail, decided when it is committed
 *   store/      messages, their bodies and records on disk and in memory; what a start finds there
 *   queue/      which message is worked on when; an attempt at it, its signature, and the outcome on disk; parking/ has what
 *               waits for a next hop that cannot be reached
 *   notices/    what the sender hears of it (DSNs)
 *   pacing/     keeps the mail for a destination to this router's share of the limit that the cluster has for it
 *   received-reports/  the reports of others on DMARC and TLS, which mail brings
 *   delivery/   the attempt itself: to an MX, a smart host, a Maildir … (delivery/delivery.ts has the vocabulary)
 *   copies/     the second copy of each message on another node, and the take-over of mail from one to the other
 *   sent-reports/  what the owners of domains hear of mail in their name (DMARC), and of the TLS of their hosts
 *   operators/  what operators see, and what they do
 *   tls-memory/  what the routers remember together of the TLS of others, and the MTA-STS policies that they have fetched
 *   directives/  what operators have told all routers: to suspend mail, or to redirect it
 *   webhooks/   what webhooks are told of mail, and of what is wrong with the queue
 *   backup/     mail as a backup keeps it, and the queue of a router that does not run (closed.ts)
 *   gossip/     keeps records of all routers the same
 *   receipts/   what stays of a message that has left, its attempts, and the index by which messages and receipts are found
 *   maintenance.ts  ends transfers of silent listeners, deletes old receipts and reports, compacts the store
 *
 * Imports run down: backup → copies; sent-reports → copies, notices; copies, operators → intake, queue → notices, pacing, received-reports, tls-memory → delivery;
 * intake → rules; queue → directives, webhooks; tls-memory, directives → gossip; and all but delivery, pacing, rules and gossip → receipts → store.
 * What intake and queue need of the copies they declare themselves, and `assemble` hands it in.
 *
 * States: created → (start: store open, queue read) running → (stop: attempts end, outcomes are written) stopped.
 * Before and after, every call is answered `unavailable`, and the caller tries another router.
 */

export type RouterDeps = {
  settings: Settings;
  log: Logger;
  signer: Calls<'router', 'signer'>;
  /** The routers of other nodes. */
  router: Calls<'router', 'router'>;
  jetStream: JetStreamAccess | undefined;
  announce: Announce<RouterContract>;
  /** The routers of the other nodes; without it there are none. */
  peers?: (DemandBus & MemoryBus & DirectiveBus) | undefined;
  /** What the reports ask in DNS, and their clock, where it is not that of this machine. */
  reports?: ReportsTools;
  /** Where MTA-STS policies are fetched, where that is not the public Internet. */
  webServers?: WebServers;
  /** How long a start waits for the end of the reading of a long queue (store/recovery.ts). */
  patienceMs?: number;
};
export type DeliveryFactory = (deps: DeliveryDeps) => Delivery;

/** How long a stop waits for transfers that have begun. */
const TRANSFERS_MS = 2000;
/** How long a stop waits for a store that fails before it gives up the outcomes of the last attempts. */
const STOP_MS = 10_000;

type Delivering = DeliveryDeps & Required<Pick<DeliveryDeps, 'transcripts'>>;
type Running = Awaited<ReturnType<typeof assemble>>;

export function createRouterService(
  deps: RouterDeps,
  makeDelivery: DeliveryFactory = createDelivery,
): Service<RouterContract> {
  const { settings, log } = deps;
  let running: Running | undefined;
  let silence: (() => void) | undefined;
  const lostTls = new LostDestinations(log);
  const delivering: Delivering = { settings, log, lostTls, transcripts: new Transcripts() };
  const router = (): Running => {
    if (running === undefined) throw new SealpostError(CALL_ERRORS.unavailable, 'the router is not running');
    return running;
  };
  return {
    contract: routerContract,
    handlers: handlers(router, delivering),
    async start() {
      const pacer = new Pacer({ settings, log, peers: deps.peers });
      running = await assemble(deps, pacer);
      const connectionsTo = (domain: string) => pacer.connections(domain);
      const { reporting, tls } = running;
      const onTlsResult = (result: TlsResult) => reporting.tls.count(result);
      running.begin(makeDelivery({ ...delivering, connectionsTo, onTlsResult, memory: tls.memory, sts: tls.sts }));
      silence = announcePresence(deps.announce, () => presenceOf(router(), settings));
    },
    /** Listeners are told to ask other routers, and finish the transfers that they have begun with this one. */
    async quiesce() {
      running?.intake.close();
      silence?.();
      await running?.intake.emptied(TRANSFERS_MS);
    },
    async stop() {
      silence?.();
      const stopped = running?.stop();
      // Attempts wait for policies. They have been told to end: none that hears of no policy now begins to send.
      running?.tls.sts.stop();
      await stopped;
      delivering.transcripts.close();
      running = undefined;
    },
  };
}

/**
 * Create the parts of a router, and hand each what it needs of the others. It is long because it is the one place where
 * they meet.
 */
async function assemble(deps: RouterDeps, pacer: Pacer) {
  const { settings, log, signer, router, jetStream, reports: tools } = deps;
  await using undo = new AsyncDisposableStack();
  let directives: Directives | undefined;
  const isKnown = (): boolean => directives?.idle !== false;
  const knownHop = knownAtStart(settings, isKnown);
  const opened = await openQueue(settings, log, { knownHop, patienceMs: deps.patienceMs });
  const { store, slots, corrupt, recovery } = opened;
  undo.defer(opened.close);
  const index = undo.adopt(await SearchIndex.open({ store, log }), (made) => made.stop());
  const common = { settings, log, rules: new Rules(settings), ...opened, index };
  const copies = undo.adopt(await Copies.open({ ...common, router, jetStream }), (opened) => opened.stop());
  const tls = undo.adopt(await openTlsMemory(store, deps), (opened) => opened.stop());
  const onSettled: OnSettled = (slot, written) => copies.sender.settled(slot, written);
  const told = undo.adopt(await openDirectives(store, deps), (opened) => opened.stop());
  directives = told.directives;
  const [routing, suspended] = [new Routing(settings, directives), new SuspendedMail(directives)];
  const hooks = undo.adopt(await openWebhooks(store, deps), (opened) => opened.stop());
  const [signing, settlement] = [new Signing(signer, log), new Settlement({ ...common, events: hooks.events })];
  const obstacle = (slot: Slot) => copies.obstacle(slot);
  const parts = { ...common, routing, pacer, signing, settlement, onSettled, suspended, obstacle };
  const queue = new Queue(parts);
  told.directives.onChange((changed) => queue.forgetHops((key) => mayMove(key, changed), suspended.released()));
  undo.defer(
    settings.onChange((next, previous) => {
      if (movesNothing(next, previous)) queue.pump();
      else queue.forgetHops(() => true, suspended.rerouted());
    }),
  );
  const reporting = await openReports({ ...common, router, copies, queue, onSettled }, tools);
  const deliver: IntakeDeps['deliver'] = (message, copy) => queue.add(message, copy);
  const intake = new Intake({ ...common, writer: copies.sender, reports: reporting.dmarc, deliver });
  const views = new Views({ ...parts, pauseOf: (hop) => queue.pauseOf(hop) });
  const [control, reports] = [new Control({ ...parts, queue, views }), openReceivedReports(store, log)];
  const maintenance = new Maintenance({ ...common, intake, reports });
  let reader: ReportReader | undefined;
  /** No attempt begins any more; resolves when none is under way. */
  const stopAttempts = async (): Promise<void> => {
    queue.end();
    await (reader ?? pacer).stop();
  };
  const resources = undo.move();
  return {
    ...{ copies, intake, views, control, slots, corrupt, recovery, signing, store, reports, reporting, tls, told },
    hooks,
    begin(delivery: Delivery): void {
      reader = new ReportReader({ ...common, reports }, pacer.begin(delivery));
      if (!isKnown()) queue.forgetHops(() => true, []);
      queue.begin(reader);
      const found = recovery.finish((slot, due) => queue.schedule(slot, due, slot.state));
      void found.then((all) => all && copies.begin(queue, intake));
      maintenance.start();
      reporting.begin();
      tls.begin();
      told.begin();
      const refusal = () => presenceOf({ slots, intake }, settings).refusing;
      hooks.begin(() => queueStateOf({ slots, corrupt, copies, recovery, store }, refusal()));
    },
    /** Throws `no-router`. */
    drain: () => copies.drain(stopAttempts),
    async stop(): Promise<void> {
      intake.drain();
      const stopped = stopAttempts();
      await maintenance.stop();
      // Attempts end when their outcome is on disk; on a disk that stays broken they never would.
      await Promise.race([Promise.all([stopped, reporting.stop(), corrupt.settled()]), brokenFor(store, STOP_MS)]);
      await resources.disposeAsync();
    },
  };
}

function handlers(router: () => Running, delivering: Delivering): Handlers<RouterContract> {
  const { settings, transcripts, lostTls } = delivering;
  const whole = (): Running => assertWhole(router());
  return {
    'transfer-open'({ envelope, origin, sizeHint }, call) {
      const { id, queueId } = router().intake.open(envelope, origin, sizeHint ?? 0, call);
      return { transfer: id, queueId, node: settings.current.node.name };
    },
    async 'transfer-append'({ transfer, sequence }, { bytes }) {
      await router().intake.chunk(transfer, sequence, bytes);
      return {};
    },
    async 'transfer-commit'(request, { bytes }) {
      return { queueId: await router().intake.commit(request, bytes) };
    },
    'transfer-abort': (request) => abortTransfer(router(), request),
    'dmarc-unit-list': (request) => router().reporting.dmarc.daily.units(request),
    'dmarc-row-list': (request) => router().reporting.dmarc.daily.rows(request),
    'tls-unit-list': (request) => router().reporting.tls.daily.units(request),
    'tls-row-list': (request) => router().reporting.tls.daily.rows(request),
    'copy-mirror': (request, { bytes }) => router().copies.mirror(request, bytes),
    'copy-compare': (request) => whole().copies.compare(request),
    'copy-adopted': (request) => router().copies.adoptions.answer(request),
    'copy-forget': async ({ node }) => ({ count: await whole().copies.forget(node) }),
    'queue-drain'() {
      whole().drain();
      return {};
    },
    'ledger-list': (request) => router().views.ledger(request),
    'authentication-summarize': (request) => router().views.authentication(request),
    ...queueHandlers(whole),
    'message-place': ({ queueId }) => placeOf(router(), settings, queueId),
    ...backupHandlers({ router, whole }, settings),
    'captured-list': (request) => capturedPage(settings, request),
    'captured-read': (request) => capturedPiece(settings, request),
    'dmarc-report-list': ({ after, ...selection }) => router().reports.dmarc.page(selection, after),
    'tls-report-list': ({ after, ...selection }) => router().reports.tls.page(selection, after),
    'tls-memory-list': (request) => router().tls.memory.page(request),
    'tls-memory-forget': async ({ name }) => ({ records: await router().tls.memory.forget(name) }),
    ...directiveHandlers(() => router().told.directives),
    'tls-probe': ({ domain }) => probeDomain(domain, { ...delivering, ...probing(router()) }),
    'transcript-read': (request) => transcripts.read(request),
    ...webhookHandlers(() => ({ settings, webhooks: router().hooks.webhooks })),
    'status-show': () => statusOf(router(), settings, lostTls),
  };
}

/** For what is about messages by their ids, or about all of them. Throws `unavailable`. */
function assertWhole(running: Running): Running {
  if (running.recovery.done) return running;
  const text = 'the router still reads its queue, which is long: try again in a moment';
  throw new SealpostError(CALL_ERRORS.unavailable, text);
}

const probing = ({ tls: { memory, sts }, told: { directives } }: Running) => ({ memory, sts, directives });

async function statusOf(running: Running, settings: Settings, lostTls: LostDestinations) {
  const { slots, corrupt, signing, copies, store, recovery, told } = running;
  const damage = await store.damage();
  const { queued: _, ...rest } = presenceOf(running, settings);
  const [{ status }, { mail }] = [copies, corrupt];
  return {
    ...rest,
    ...slots.counts,
    corrupt: corrupt.count,
    ...(recovery.done ? {} : { reading: true as const }),
    unsigned: signing.unsigned,
    ...(mail.length === 0 ? {} : { damaged: mail }),
    ...(damage.length === 0 ? {} : { damage }),
    ...(status === undefined ? {} : { copies: status }),
    ...(told.directives.list.length === 0 ? {} : { directives: told.directives.list }),
    ...(lostTls.list.length === 0 ? {} : { lostTls: lostTls.list }),
  };
}
