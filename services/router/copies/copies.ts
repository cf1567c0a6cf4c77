import { endsWithin } from '#cluster/bus/bus.ts';
import type { JetStreamAccess } from '#cluster/bus/jetstream-access.ts';
import { busReplicas } from '#cluster/config/bus-replicas.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import type { Answer } from '#shared/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { CopyChange } from '#shared/queue/copy-change.ts';
import { CLAIMS_BUCKET, type PairName, type RouterContract } from '../contract.ts';
import type { Queue } from '../queue/queue.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import type { Corrupt } from '../store/corrupt.ts';
import type { Slot, Slots } from '../store/slots.ts';
import type { Space } from '../store/space.ts';
import { Adoptions, type AdoptionsDeps, otherStore } from './adoptions.ts';
import { asPair, ClaimRecord, hasEnded, pairKey } from './claims.ts';
import { CopySender } from './copy-sender.ts';
import { HandOver } from './hand-over.ts';
import { COPIES_DAMAGED, HeldCopies } from './held-copies.ts';
import { LeaseWatch } from './lease-watch.ts';
import { OwnLease } from './own-lease.ts';
import { Pairs } from './pairs.ts';
import { loadStoreName } from './store-name.ts';
import { TakeOver } from './take-over.ts';

/**
 * The second copy of each message, on another node, and what it is for: a node that dies loses no mail.
 *
 *   claims.ts        leases and pairs: the records by which routers agree on which of them delivers what
 *   store-name.ts    the name by which the claims know this node's store
 *   own-lease.ts     the right of this node to deliver mail that has a copy elsewhere
 *   lease-watch.ts   which other nodes are live
 *   pairs.ts         the holders of this node's copies; outbox.ts: what goes to one of them
 *   copy-sender.ts   when a message is on two disks, and how the second copy follows; sending.ts: what is sent
 *   held-copies.ts   the copies of others on this disk; comparison.ts: which of them their owner still needs
 *   take-over.ts     what becomes of them when their owner dies; adoptions.ts: what this node took over, in its own words
 *   overtaken.ts     what becomes of ours when another node took them over; hand-over.ts: how all go to others at a drain
 *
 * It sits on top of intake and queue, which know nothing of it: service.ts hands them what they ask for. Without a bus
 * there are no other routers: then all of this does nothing, and every message is this node's.
 */

/** How often this looks for what is due. */
const TICK_MS = 250;
/** How long a stop waits for a step of a take-over. */
const STOP_MS = 10_000;

export type CopiesDeps = {
  settings: Settings;
  log: Logger;
  store: Store;
  slots: Slots;
  index: SearchIndex;
  space: Space;
  corrupt: Corrupt;
  jetStream: JetStreamAccess | undefined;
  router: Calls<'router', 'router'>;
};

/** What copies ask of the intake. */
export type CopiesIntake = {
  /** Why nothing of this size is written right now; undefined where it is. */
  roomFor(bytes: number): SealpostError | undefined;
  /** Accept no more mail. */
  drain(): void;
  /** Resolves when no commit is under way. */
  committed(): Promise<void>;
};

export class Copies {
  readonly sender: CopySender;
  readonly #deps: CopiesDeps;
  /** Name of this node's store, and the claims. */
  readonly name: string;
  readonly map: ReplicatedMap<ClaimRecord>;
  readonly held: HeldCopies;
  readonly adoptions: Adoptions;
  readonly watch: LeaseWatch;
  readonly #lease: OwnLease;
  readonly #pairs: Pairs;
  #takeOver: TakeOver | undefined;
  #handOver: HandOver | undefined;
  #intake: CopiesIntake | undefined;
  #queue: Queue | undefined;
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> | undefined;
  #wanted = false;
  #stopped = false;

  private constructor(deps: CopiesDeps, { own: name, map, held }: AdoptionsDeps, adoptions: Adoptions) {
    const { settings, log, store, slots, router, corrupt } = deps;
    this.#deps = deps;
    this.name = name;
    this.map = map;
    this.held = held;
    this.adoptions = adoptions;
    this.watch = new LeaseWatch(map, name);
    this.#lease = new OwnLease({
      ...{ map, store: name, log },
      node: () => settings.current.node.name,
      afterMs: () => settings.current.queue['takeover-after'],
      onRenewed: (regained) => {
        this.#tick();
        if (regained) this.#queue?.releaseBlocked();
      },
    });
    this.#pairs = new Pairs({
      ...{ settings, log, own: name, map, watch: this.watch, lease: this.#lease, router },
      onVoid: (holder, generation) => this.#void(holder, generation),
    });
    this.sender = new CopySender({
      ...{ settings, store, slots, pairs: this.#pairs, log },
      onOvertaken: (slot) => this.#takeOver?.overtaken(slot),
      onDamaged: (slot, error) => corrupt.setAside(slot.id, error),
    });
  }

  /** Read from disk what is held and known; the queue has been read. Rejects with `store-failed`. */
  static async open(deps: CopiesDeps): Promise<Copies> {
    const { store, index, settings, log, jetStream } = deps;
    const own = jetStream === undefined ? { name: '' } : await loadStoreName(store, log);
    const held = await HeldCopies.load(store, index);
    if (held.damage !== undefined) log.error({ error: held.damage }, COPIES_DAMAGED);
    const { node } = settings.current;
    const map = await ReplicatedMap.open({
      ...{ store, prefix: 'claim!', bucket: CLAIMS_BUCKET, schema: ClaimRecord, node: node.name, log, jetStream },
      replicas: busReplicas(settings.current),
    });
    const name = 'name' in own ? own.name : await own.find(map, node.name);
    const adopting = { store, own: name, map, held, log };
    return new Copies(deps, adopting, await Adoptions.load(adopting));
  }

  get #clustered(): boolean {
    return this.#deps.jetStream !== undefined;
  }

  /** Begin to send, to watch and to take over, but not after a stop: a long queue may be read to its end meanwhile. */
  begin(queue: Queue, intake: CopiesIntake): void {
    if (!this.#clustered || this.#stopped) return;
    this.#queue = queue;
    this.#intake = intake;
    const { map, watch, held, adoptions } = this;
    const onAdopted = (slot: Slot): unknown => this.sender.missing.add(slot);
    this.#takeOver = new TakeOver({ ...this.#deps, own: this.name, queue, map, watch, held, adoptions, onAdopted });
    this.#lease.start();
    this.map.onChange(() => this.#tick());
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#lease.stop();
    this.#handOver?.abort();
    this.#pairs.close();
    // On a disk that stays broken a step would never end.
    const ended = endsWithin(STOP_MS, Promise.all([this.#takeOver?.stop(), this.#filling]));
    await Promise.all([ended, this.map.close()]);
  }

  /** Why this node must not deliver this message now; undefined where it may. */
  obstacle({ copy }: Slot): string | undefined {
    return copy === undefined || !this.#clustered ? undefined : this.#pairs.obstacle(copy);
  }

  /** Another router sends copies, or changes of them. */
  async mirror({ owner, holder, generation, changes }: PairName & { changes: CopyChange[] }, bytes: Uint8Array) {
    const { space } = this.#deps;
    if (holder !== this.name) throw otherStore(holder);
    const pair = asPair(this.map.get(pairKey(owner, holder))?.value);
    // A generation that this node does not know yet has not ended.
    if (hasEnded(pair, generation) || this.adoptions.has(owner, generation)) {
      throw new SealpostError('superseded', `generation ${generation} of this pair has ended`);
    }
    // Changes of whole copies are small, and what frees room may come after them.
    if (changes.some((c) => !('drop' in c) && !this.held.isComplete(owner, generation, c.id))) {
      const refusal = this.#intake?.roomFor(bytes.length) ?? (this.#intake === undefined ? notYet() : undefined);
      if (refusal !== undefined) throw refusal;
      space.took(bytes.length);
    }
    try {
      const ownerNode = this.watch.lease(owner)?.node;
      await this.held.change({ owner, generation, ownerNode }, changes, bytes);
    } catch (error) {
      if (errorCode(error) !== 'store-failed') throw error;
      throw new SealpostError('not-accepting', `node ${this.#node} cannot write copies`, { cause: error });
    }
    return {};
  }

  /** A holder asks which of its copies are no longer needed. */
  compare({ owner, holder, generation, ids }: PairName & { ids: string[] }): { gone: string[] } {
    if (owner !== this.name) throw otherStore(owner);
    const { slots, corrupt } = this.#deps;
    const needed = (id: string): boolean => {
      // The other copy of a message that is damaged on this node may be whole.
      if (this.sender.isUnderWay(id) || corrupt.has(id)) return true;
      const copy = slots.get(id)?.copy;
      return copy?.store === holder && copy.generation === generation;
    };
    return { gone: ids.filter((id) => !needed(id)) };
  }

  /** Delete the void copies of a node that is silent, and as an operator says gone for good; resolves to their number. */
  async forget(node: string): Promise<number> {
    return (await this.#takeOver?.forget(node)) ?? 0;
  }

  /** Hand everything over and accept no more; `stopAttempts` resolves when none is under way. Throws `no-router`. */
  drain(stopAttempts: () => Promise<void>): void {
    const { slots, log, store } = this.#deps;
    if (this.#handOver !== undefined) return;
    const size = [...slots.all()].length;
    if (size > 0 && (!this.#clustered || this.watch.living().length === 0)) {
      throw new SealpostError('no-router', `there is no other router to take the ${size} messages of ${this.#node}`);
    }
    this.#intake?.drain();
    const deps = { log, store, slots, map: this.map, own: this.name };
    this.#handOver = new HandOver({ ...deps, sender: this.sender, pairs: this.#pairs, lease: this.#lease });
    void this.#handOver.run(async () => {
      await this.#intake?.committed();
      await stopAttempts();
    });
  }

  get status(): Answer<RouterContract['operations']['status-show']>['copies'] {
    if (!this.#clustered) return undefined;
    let elsewhere = 0;
    for (const { copy } of this.#deps.slots.all()) if (copy !== undefined) elsewhere++;
    const { renewed } = this.#lease;
    const orphans = this.#takeOver?.orphans() ?? [];
    return {
      store: this.name,
      lease: this.#lease.held ? 'held' : 'lost',
      ...(renewed === undefined ? {} : { renewed }),
      elsewhere,
      missing: this.sender.wanted ? this.sender.missing.size : 0,
      held: this.held.size,
      ...(orphans.length === 0 ? {} : { void: orphans }),
      takenOver: this.#takeOver?.takenOver ?? 0,
      handedOver: this.#takeOver?.handedOver ?? 0,
      draining: this.#handOver !== undefined,
      drained: this.#handOver?.done === true,
    };
  }

  get #node(): string {
    return this.#deps.settings.current.node.name;
  }

  /** Begin what is due, and wait for none of it: a long queue takes minutes to take over, or to copy again. */
  #tick(): void {
    if (this.#stopped) return;
    this.watch.look();
    if (this.map.state === 'following') void this.#takeOver?.tick();
    const wanted = this.sender.wanted || this.#handOver !== undefined;
    if (wanted && !this.#wanted) this.#findMissing();
    this.#wanted = wanted;
    void this.#pairs.tick(wanted);
    if (!wanted || this.sender.missing.size === 0) return;
    this.#filling ??= this.sender
      .fill()
      .catch((error: unknown) =>
        this.#deps.log.error({ err: error }, 'second copies could not be made, it is tried again'),
      )
      .finally(() => {
        this.#filling = undefined;
      });
  }

  #findMissing(): void {
    for (const slot of this.#deps.slots.all()) {
      if (slot.copy !== undefined && this.#pairs.isValid(slot.copy)) continue;
      slot.copy = undefined;
      this.sender.missing.add(slot);
    }
  }

  #void(holder: string, generation: number): void {
    let messages = 0;
    for (const slot of this.#deps.slots.all()) {
      if (slot.copy?.store !== holder || slot.copy.generation > generation) continue;
      slot.copy = undefined;
      if (this.#wanted) this.sender.missing.add(slot);
      messages++;
    }
    if (messages > 0)
      this.#deps.log.warn({ store: holder, messages }, 'second copies in a store that was given up are void');
    this.#queue?.releaseBlocked();
  }
}

function notYet(): SealpostError {
  return new SealpostError('not-accepting', 'the router is starting');
}
