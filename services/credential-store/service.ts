import { join } from 'node:path';
import type { JetStreamAccess } from '#cluster/bus/jetstream-access.ts';
import { busReplicas } from '#cluster/config/bus-replicas.ts';
import { loadNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import type { Calls, Hears } from '#services/topology.ts';
import type { Announce, Handlers, Service } from '#shared/contract.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import {
  CREDENTIALS_BUCKET,
  type CredentialStoreContract,
  credentialStoreContract,
  type Holder,
  type Present,
} from './contract.ts';
import { DnsViews } from './dns/views.ts';
import { Driver } from './driver/driver.ts';
import { createWorld, mayAct } from './driver/node-effects.ts';
import { EarlierKeys } from './earlier-keys.ts';
import { KeyMaker } from './making/key-maker.ts';
import { checkNeks } from './neks/nek-check.ts';
import { Neks } from './neks/neks.ts';
import type { Office } from './operations/deps.ts';
import { keyOperations } from './operations/keys.ts';
import { nekOperations } from './operations/neks.ts';
import { behindOf, reading } from './operations/reading.ts';
import { rotationOperations } from './operations/rotations.ts';
import { ANNOUNCE_MS, Presence } from './presence.ts';
import { CredentialRecord } from './records/domain-record.ts';
import { Records } from './records/records.ts';

/**
 * Keeps the DKIM keys of the cluster, wrapped, one copy on every node, and leads each through its life.
 *
 *   records.ts      what is known, replicated; every change is a compare-and-set
 *   life-cycle.ts   the states of keys and rotations, as functions from record to record
 *   driver.ts       makes the steps that are due; one node at a time drives a domain
 *   presence.ts     which processes hold keys right now
 *   dns/            publication and proof
 *   neks.ts         the named encryption keys that wrap the private keys
 *   earlier-keys.ts keys of a version that knew no cluster, which are taken over
 *
 * With NEKs in the configuration that do not open what is stored it does not start; it never begins anew beside keys
 * that nobody can open. With none configured everything works that needs none.
 */
export type CredentialStoreDeps = {
  settings: Settings;
  log: Logger;
  announce: Announce<CredentialStoreContract>;
  /** What the credential-stores of all nodes say, this one's own words among them. */
  onStores: Hears<'credential-store', 'credential-store'>;
  onSigners: Hears<'credential-store', 'signer'>;
  stores: Calls<'credential-store', 'credential-store'>;
  signer: Calls<'credential-store', 'signer'>;
  jetStream: JetStreamAccess | undefined;
};

export function createCredentialStoreService(deps: CredentialStoreDeps): Service<CredentialStoreContract> {
  let running: Running | undefined;
  const office = (): Office => {
    if (running === undefined) throw new SealpostError('unavailable', 'the credential-store is not started');
    return running.office;
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
    handlers: {
      ...reading(office),
      ...keyOperations(office),
      ...rotationOperations(office),
      ...nekOperations(office),
    } satisfies Handlers<CredentialStoreContract>,
  };
}

const DOUBLED =
  'another process runs as the credential-store of a node with this name: it alone works on keys; give every node its own node.name';

type Running = { office: Office; close(): Promise<void> };

async function open(deps: CredentialStoreDeps): Promise<Running> {
  const { settings, log } = deps;
  const { node } = settings.current;
  await using undo = new AsyncDisposableStack();
  const store = await Store.open(join(node.data, 'credentials'), log);
  undo.defer(() => store.close());
  const map = await ReplicatedMap.open({
    store,
    prefix: 'map!',
    bucket: CREDENTIALS_BUCKET,
    schema: CredentialRecord,
    node: node.name,
    log,
    jetStream: deps.jetStream,
    replicas: busReplicas(settings.current),
  });
  undo.defer(() => map.close());

  const earlier = await EarlierKeys.read({ store, settings, log });
  undo.defer(() => earlier.close());
  const records = new Records(map, () => earlier.assertTried());
  const presence = new Presence();
  const configured = (): Promise<Nek[]> => loadNeks(settings.current.credentials.nek);
  const caughtUp = (): boolean => map.state === 'local' || map.state === 'following';
  const everything = { all: () => [...records.all(), ...earlier.left(records)], neks: () => records.neks() };
  checkNeks(everything, await configured(), log, caughtUp());
  const takeOver = async (): Promise<void> => {
    if (caughtUp()) await earlier.takeOver(new Records(map));
  };
  await takeOver();
  const live = (): Holder[] | undefined => (mayAct(map, presence, node.name) ? presence.live() : undefined);
  const neks = new Neks({ node: node.name, log, records, configured, live });
  const views = new DnsViews(settings, records, log);
  const maker = new KeyMaker(settings, neks, log);
  const office: Office = {
    ...deps,
    map,
    records,
    all: everything.all,
    presence,
    neks,
    views,
    maker,
    configured,
  };
  const driver = new Driver(createWorld(office));
  let doubled = false;
  const resume = setInterval(() => {
    void takeOver();
    void neks.resume();
    if (!doubled && presence.hasElder(node.name)) log.error({ node: node.name }, DOUBLED);
    doubled = presence.hasElder(node.name);
  }, ANNOUNCE_MS).unref();
  undo.defer(() => clearInterval(resume));

  undo.defer(listenToPresence(deps, presence));
  undo.defer(announcePresence(office));
  undo.defer(presence.onNews(() => driver.wake()));
  undo.defer(
    map.onState((state) => {
      if (state !== 'following' && state !== 'local') presence.reset();
      void takeOver();
      driver.wake();
    }),
  );
  undo.defer(map.onChange(() => driver.wake()));
  views.start();
  undo.defer(() => views.stop());
  driver.start();
  undo.defer(() => driver.close());

  const resources = undo.move();
  const count = records.all().reduce((sum, { keys }) => sum + keys.length, 0);
  log.info(
    { keys: count, revision: records.revision, state: map.state, problem: map.problem },
    'credential-store is open',
  );
  return { office, close: () => resources.disposeAsync() };
}

function listenToPresence(deps: CredentialStoreDeps, presence: Presence): () => void {
  const stops = [
    deps.onStores('present', (present) => presence.hear('credential-store', present)),
    deps.onSigners('present', (present) => presence.hear('signer', present)),
  ];
  return () => stops.forEach((stop) => void stop());
}

/** Say that we are here, each second and at every change; and tell signers of changes. */
function announcePresence({ settings, log, announce, map, records, presence, configured }: Office): () => void {
  let fingerprints: string[] = [];
  const say = (): void => {
    const present: Present = {
      node: settings.current.node.name,
      instance: presence.instance,
      revision: records.revision,
      time: Date.now(),
      neks: fingerprints,
      ...behindOf(map),
    };
    announce('present', present);
  };
  let reading = false;
  const readNeks = async (): Promise<void> => {
    if (reading) return;
    reading = true;
    const before = fingerprints.join();
    try {
      fingerprints = (await configured()).map((nek) => nek.fingerprint);
    } catch (error) {
      // No news for the others; whoever needs the NEK says what is wrong with it.
      log.debug({ err: error }, 'NEKs not read');
    } finally {
      reading = false;
    }
    if (fingerprints.join() !== before) say();
  };
  const tick = (): void => {
    // What was read last is said meanwhile: a slow disk makes nobody dead.
    void readNeks();
    say();
  };
  const timer = setInterval(tick, ANNOUNCE_MS).unref();
  tick();
  const stopHearing = map.onChange(() => {
    announce('changed', { node: settings.current.node.name, revision: records.revision });
    say();
  });
  return () => {
    clearInterval(timer);
    stopHearing();
  };
}
