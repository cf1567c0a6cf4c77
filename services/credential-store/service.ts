import { join } from 'node:path';
import type { JetStreamAccess } from '#cluster/bus/jetstream-access.ts';
import { busReplicas } from '#cluster/config/bus-replicas.ts';
import { loadNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { ANNOUNCE_MS } from '#cluster/members/announce.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import { Webhooks } from '#cluster/webhooks/webhooks.ts';
import type { Calls } from '#services/topology.ts';
import type { Service } from '#shared/contract.ts';
import { DirectoryRecord } from '#shared/directory/records.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import {
  type AnnouncementDeps,
  announceDirectory,
  announcePresence,
  listenToPresence,
  type ReadNeks,
} from './announcements.ts';
import { AuditLog } from './audit/audit-log.ts';
import { Orders } from './certificates/acme/orders.ts';
import {
  CREDENTIALS_BUCKET,
  type CredentialStoreContract,
  credentialStoreContract,
  DIRECTORY_BUCKET,
} from './contract.ts';
import { GroupAddresses } from './directory/group-addresses.ts';
import { KnownEmpty } from './directory/known-empty.ts';
import { DirectoryRewrap } from './directory/rewrap.ts';
import { DnsViews } from './dns/views.ts';
import { Driver } from './driver/driver.ts';
import { createNodeEffects, mayAct } from './driver/node-effects.ts';
import { EarlierKeys } from './earlier-keys.ts';
import { KeyMaker } from './making/key-maker.ts';
import { assertNotForeign, checkNeks } from './neks/nek-check.ts';
import { NekSeal } from './neks/nek-seal.ts';
import { Neks } from './neks/neks.ts';
import { Sealing } from './neks/sealing.ts';
import { assertSomeLeft, openStore } from './open-store.ts';
import type { OperationDeps } from './operations/deps.ts';
import { createHandlers } from './operations/handlers.ts';
import { Presence } from './presence.ts';
import { Certificates } from './records/certificates.ts';
import { CredentialRecord, type DomainRecord } from './records/domain-record.ts';
import { Records, resealAll } from './records/records.ts';
import { openHooks } from './webhooks/open.ts';

/**
 * Keeps the DKIM keys of the cluster, wrapped, a copy on every node, and leads each through its life.
 *
 *   contract.ts     what it can be asked, put together of contract/; operations/ answers it, one function an operation
 *                   (handlers.ts is the table)
 *   records/        what is known of a domain, replicated; every change is a compare-and-set
 *   life/           the states of keys and rotations and the transitions between them, as functions from record to record
 *   driver/         makes the transitions that are due, each when its conditions hold; one node at a time drives a domain
 *   dns/            a key's record: how it is published, the update of its zone (RFC 2136), the proof that it is there
 *   making/         new keys and their selectors
 *   neks/           the named encryption keys (NEKs) that wrap the private keys and seal the records
 *   certificates/   the certificates of the listeners, whose private keys have NEKs of their own (`tls.nek`)
 *   directory/      users, aliases, groups and maps, replicated in the same way; policy follows them
 *   audit/          which changes people made, at this service and at others that asked it to write them down
 *   webhooks/       what webhooks are told of keys and certificates, and of what is wrong with the cluster
 *   presence.ts     which processes hold keys now; announcements.ts tells the others of this one
 *   earlier-keys.ts keys of a version without a cluster, which are taken over
 *
 * With NEKs in the configuration that do not open what is stored it does not start: it never begins an empty store
 * beside keys that nobody can open. Without any NEK everything works that needs none.
 */
export type CredentialStoreDeps = AnnouncementDeps & {
  settings: Settings;
  log: Logger;
  stores: Calls<'credential-store', 'credential-store'>;
  signer: Calls<'credential-store', 'signer'>;
  listener: Calls<'credential-store', 'listener'>;
  member: Calls<'credential-store', 'member'>;
  jetStream: JetStreamAccess | undefined;
};

export function createCredentialStoreService(deps: CredentialStoreDeps): Service<CredentialStoreContract> {
  let running: Running | undefined;
  const operationDeps = (): OperationDeps => {
    if (running === undefined) throw new SealpostError('unavailable', 'the credential-store is not started');
    return running.operationDeps;
  };
  return {
    contract: credentialStoreContract,
    async start() {
      running = await open(deps);
    },
    async stop() {
      const stopping = running;
      running = undefined;
      await stopping?.close();
    },
    handlers: createHandlers(operationDeps),
  };
}

type Running = { operationDeps: OperationDeps; close(): Promise<void> };

type Opened = {
  map: ReplicatedMap<CredentialRecord>;
  directory: ReplicatedMap<DirectoryRecord>;
  knownEmpty: KnownEmpty;
  earlier: EarlierKeys;
  readNeks: ReadNeks;
  seals: { keys: NekSeal; directory: NekSeal };
  damage: OperationDeps['damage'];
  audit: AuditLog;
  store: Store;
  webhooks: Webhooks;
};

async function open(deps: CredentialStoreDeps): Promise<Running> {
  const { settings, log } = deps;
  await using undo = new AsyncDisposableStack();
  const seals = { keys: new NekSeal(CREDENTIALS_BUCKET), directory: new NekSeal(DIRECTORY_BUCKET) };
  const readNeks: ReadNeks = async () => {
    const neks = await loadNeks(settings.current.credentials.nek);
    for (const seal of Object.values(seals)) seal.use(neks);
    return neks;
  };
  await readNeks();
  const opened = { ...(await openRecords(deps, seals, undo)), readNeks, seals };
  const { map } = opened;
  const operationDeps = createOperationDeps(deps, opened);
  const { all, records, presence, views } = operationDeps;
  const neks = await readNeks();
  checkNeks({ all, neks: () => records.neks() }, neks, log, isCaughtUp(map));
  assertNotForeign(records.neks(), map.refused, neks);
  await takeOver(opened);
  const driver = new Driver(createNodeEffects(operationDeps));
  const orders = new Orders({ ...operationDeps, listener: deps.listener, live: () => liveOf(operationDeps) });

  undo.defer(followUpEverySecond(operationDeps, { ...opened, jetStream: deps.jetStream }));
  undo.defer(listenToPresence(deps, presence));
  undo.defer(announcePresence(deps, operationDeps, readNeks));
  undo.defer(announceDirectory(deps, operationDeps));
  undo.defer(presence.onNews(() => driver.wake()));
  // Whom it hears is not known before it has listened over the new connection.
  undo.defer(deps.jetStream?.onChange(() => presence.reset()) ?? (() => undefined));
  undo.defer(
    map.onState((state) => {
      if (state !== 'following' && state !== 'local') presence.reset();
      void takeOver(opened);
      driver.wake();
    }),
  );
  undo.defer(map.onChange(() => driver.wake()));
  undo.defer(settings.onChange(() => driver.retry()));
  views.start();
  undo.defer(() => views.stop());
  driver.start();
  undo.defer(() => driver.close());
  orders.start();
  undo.defer(() => orders.close());
  undo.adopt(await openHooks({ ...operationDeps, ...opened, member: deps.member }), (hooks) => hooks.stop());

  const resources = undo.move();
  const keys = records.all().reduce((sum, record) => sum + record.keys.length, 0);
  log.info({ keys, revision: records.revision, state: map.state, error: map.problem }, 'credential-store is open');
  return { operationDeps, close: () => resources.disposeAsync() };
}

/** The replicated records, and what an earlier version left beside them. */
async function openRecords(
  { settings, log, jetStream }: CredentialStoreDeps,
  seals: Opened['seals'],
  undo: AsyncDisposableStack,
): Promise<Omit<Opened, 'readNeks' | 'seals'>> {
  const { node } = settings.current;
  const folder = join(node.data, 'credentials');
  const alone = jetStream === undefined;
  const store = await openStore(folder, log, alone);
  undo.defer(() => store.close());
  const common = { store, node: node.name, log, jetStream, replicas: busReplicas(settings.current) };
  const keys = { prefix: 'map!', bucket: CREDENTIALS_BUCKET, schema: CredentialRecord, seal: seals.keys };
  const entries = { prefix: 'directory!', bucket: DIRECTORY_BUCKET, schema: DirectoryRecord, seal: seals.directory };
  const [map, directory] = await Promise.all([
    ReplicatedMap.open({ ...common, ...keys }),
    ReplicatedMap.open({ ...common, ...entries }),
  ]);
  undo.defer(() => map.close());
  undo.defer(() => directory.close());
  const earlier = await EarlierKeys.read({ store, settings, log });
  undo.defer(() => earlier.close());
  const left = map.revision + directory.revision + earlier.left(new Records(map)).length;
  await assertSomeLeft(store, folder, left, alone);
  const audit = new AuditLog({ store, settings, log });
  undo.defer(() => audit.close());
  const webhooks = undo.adopt(await Webhooks.open({ store, settings, log }), (made) => made.stop());
  const knownEmpty = await KnownEmpty.open(store, directory);
  return { map, directory, knownEmpty, earlier, damage: () => store.damage(), audit, store, webhooks };
}

function createOperationDeps(deps: CredentialStoreDeps, opened: Opened): OperationDeps {
  const { map, directory, knownEmpty, earlier, readNeks, seals, damage, audit, webhooks } = opened;
  const { settings, log, stores, signer } = deps;
  const node = settings.current.node.name;
  const records = new Records(map, () => earlier.assertTried());
  const all = (): DomainRecord[] => [...records.all(), ...earlier.left(records)];
  const presence = new Presence();
  const live = () => liveOf({ map, presence, settings });
  const current = () => records.neks()?.current;
  const rewrap = new DirectoryRewrap({ node, log, map: directory, neks: () => seals.directory.neks, current, live });
  const ofDirectory = {
    wrappedBy: (nek: string) => rewrap.wrappedBy(nek),
    without: (nek: string) => directory.without(nek).length,
    // Where there is no hash, policy needs no NEK.
    readers: () => (rewrap.hashes > 0 ? presence.policies() : []),
  };
  const neks = new Neks({ node, log, records, configured: readNeks, live, directory: ofDirectory });
  const views = new DnsViews(settings, records, log);
  const maker = new KeyMaker(settings, neks, log);
  const seal = seals.keys;
  const groups = new GroupAddresses(directory);
  const running = { settings, log, stores, signer, map, directory, knownEmpty, groups, rewrap };
  const certificates = new Certificates(map);
  return { ...running, records, certificates, all, presence, neks, seal, views, maker, damage, audit, webhooks };
}

/** The live processes; undefined while this one may not act for all. */
const liveOf = ({ map, presence, settings }: Pick<OperationDeps, 'map' | 'presence' | 'settings'>) =>
  mayAct(map, presence, settings.current.node.name) ? presence.live() : undefined;

const isCaughtUp = ({ state }: Opened['map']): boolean => state === 'local' || state === 'following';

async function takeOver({ map, earlier }: Opened): Promise<void> {
  if (isCaughtUp(map)) await earlier.takeOver(new Records(map));
}

const DOUBLED =
  'another process runs as the credential-store of a node with this name, and only that one works on keys: give every node its own node.name';

type FollowUpDeps = Opened & Pick<CredentialStoreDeps, 'jetStream'>;

/** Finish what is left to take over and to re-wrap, and report a second process under this node's name. */
function followUpEverySecond(deps: OperationDeps, { jetStream, ...opened }: FollowUpDeps): () => void {
  const { settings, log, map, directory, records, presence, neks, rewrap } = deps;
  const { seals } = opened;
  const node = settings.current.node.name;
  const live = () => liveOf(deps);
  const sealing = new Sealing({ node, log, map, records, seal: seals.keys, live });
  const entries = {
    neks: () => records.neks(),
    without: (nek: string) => directory.without(nek).length,
    reseal: (nek: string) => resealAll(directory, nek),
  };
  const ofDirectory = new Sealing({ node, log, map: directory, records: entries, seal: seals.directory, live });
  let doubled = false;
  const timer = setInterval(() => {
    void takeOver(opened);
    void neks.resume();
    void sealing.resume();
    void ofDirectory.resume();
    void rewrap.resume();
    deps.knownEmpty.listen(jetStream?.current !== undefined, presence);
    if (!doubled && presence.hasElder(node)) log.error({ node }, DOUBLED);
    doubled = presence.hasElder(node);
  }, ANNOUNCE_MS).unref();
  return () => {
    clearInterval(timer);
    rewrap.close();
  };
}
