import { setTimeout as delay } from 'node:timers/promises';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { NekStatus } from '#shared/keys/holders.ts';
import type { StoreDamage } from '#shared/store-damage.ts';
import type { CertificateFacts } from '../certificates/facts.ts';
import type { Clients } from '../clients.ts';
import { describeError } from '../describe-error.ts';
import type { DamagedStore, NodeMail, VoidCopies } from '../doctor/finding.ts';

/** Asks every process of the cluster for all that `sealpost cluster status` shows. */

/** How long one question may take before its process counts as silent. */
const PATIENCE = { timeout: 3000 };
/** The fastest of so many answers tells most about the network and the clock. */
const PINGS = 3;
/** A change of the keys reaches every node within a moment; a node that has not seen it by then does not follow. */
const SETTLE_MS = 2000;

/** Of `queue.copies: 2`: mail here with a copy elsewhere, mail that misses one, others' mail kept here. */
export type CopyCounts = {
  elsewhere: number;
  missing: number;
  held: number;
  lease: 'held' | 'lost';
  renewed?: number;
  /** Of mail of nodes that are silent. */
  void?: { node: string; copies: number }[];
};

export type ProcessFacts = {
  /** As it says of itself where it answers, else as it was last heard. */
  member: Member;
  /** Why it did not answer; absent where it did. */
  trouble?: string;
  /** The processes that it knows. */
  sees?: Member[];
  /** ms */
  roundTrip?: number;
  /** Its clock minus ours in ms. */
  clock?: number;
  queue?: { messages: number; refusing?: string; copies?: CopyCounts };
  /** Revision of the keys that it holds; the lower one where it runs store and signer. */
  keys?: { revision: number; behind?: string };
  /** Compromised keys that may still be in DNS, `s1 of example.com`. */
  exposed?: string[];
  /** Stores of this process that were damaged. */
  damage?: DamagedStore[];
  /** Mail that it has set aside. */
  damagedMail?: NodeMail[];
};

export type ClusterFacts = {
  /** The node that listed the others. */
  node: string;
  /** For how many ms it has not reached NATS; absent while it does. */
  away?: number;
  processes: ProcessFacts[];
  /** The NEKs of the cluster, where a credential-store says. */
  neks?: NekStatus[];
  /** The certificates of the cluster. */
  certificates?: CertificateFacts;
};

export async function gatherCluster(clients: Clients): Promise<ClusterFacts> {
  const first = await clients.client(memberContract)['member-list']({}, PATIENCE);
  const { node, away } = first;
  // On a node that is cut off, only the process that answers can be asked.
  const reachable = (id: string): boolean => away === undefined || id === first.process;
  const known = new Map<string, ProcessFacts>();
  learn(known, first.members);
  const asked = new Set<string>();
  for (;;) {
    const next = [...known.values()].filter(({ member: { process, stopped } }) => !stopped && !asked.has(process));
    if (next.length === 0) break;
    for (const { member } of next) asked.add(member.process);
    // Each may know others that no other process hears.
    const answers = next.filter(({ member }) => reachable(member.process)).map((facts) => ask(clients, facts));
    for (const sees of await Promise.all(answers)) learn(known, sees);
  }
  const processes = [...known.values()].sort((a, b) => order(a.member, b.member));
  await settleKeys(clients, processes);
  const neks = await neksOf(clients, processes);
  return { node, ...(away !== undefined && { away }), processes, ...(neks !== undefined && { neks }) };
}

async function neksOf(clients: Clients, processes: readonly ProcessFacts[]): Promise<NekStatus[] | undefined> {
  const store = processes.find(
    ({ keys, member }) => keys !== undefined && member.services.includes('credential-store'),
  );
  if (store === undefined) return undefined;
  const there = { ...PATIENCE, node: store.member.process };
  const answer = clients.client(credentialStoreContract)['nek-list']({}, there);
  return answer.then(
    ({ neks }) => neks,
    () => undefined,
  );
}

/** Add what a process knows of others; of each the newest is kept. */
function learn(known: Map<string, ProcessFacts>, members: readonly Member[]): void {
  for (const member of members) {
    const before = known.get(member.process);
    if (before === undefined) known.set(member.process, { member });
    else if (member.heard < before.member.heard) before.member = member;
  }
}

/** Ask a process everything; resolves to the members that it knows. */
async function ask(clients: Clients, facts: ProcessFacts): Promise<Member[]> {
  const there = { ...PATIENCE, node: facts.member.process };
  try {
    const member = clients.client(memberContract);
    for (let i = 0; i < PINGS; i++) {
      const began = performance.now();
      const { time } = await member['member-ping']({}, there);
      const roundTrip = performance.now() - began;
      if (roundTrip > (facts.roundTrip ?? Number.POSITIVE_INFINITY)) continue;
      facts.roundTrip = roundTrip;
      facts.clock = Math.round(time + roundTrip / 2 - Date.now());
    }
    facts.sees = (await member['member-list']({}, there)).members;
    if (facts.member.services.includes('router')) {
      const {
        active,
        deferred,
        hold,
        refusing,
        copies,
        damage,
        damaged = [],
      } = await clients.client(routerContract)['status-show']({}, there);
      facts.queue = {
        messages: active + deferred + hold,
        ...(refusing !== undefined && { refusing }),
        ...(copies !== undefined && { copies: copiesOf(copies) }),
      };
      addDamage(facts, 'queue', damage);
      facts.damagedMail = damaged.map((mail) => ({ node: facts.member.node, mail }));
    }
    await askKeys(clients, facts);
  } catch (error) {
    facts.trouble = troubleText(error);
  }
  return facts.sees ?? [];
}

/** What is known of a store, instead of what was known before. */
function addDamage(facts: ProcessFacts, store: DamagedStore['store'], damage: readonly StoreDamage[] = []): void {
  const others = facts.damage?.filter((known) => known.store !== store) ?? [];
  facts.damage = [...others, ...damage.map((one) => ({ node: facts.member.node, store, damage: one }))];
}

function copiesOf({ elsewhere, missing, held, lease, renewed, void: orphans }: CopyCounts): CopyCounts {
  const counts = { elsewhere, missing, held, lease };
  return { ...counts, ...(renewed !== undefined && { renewed }), ...(orphans !== undefined && { void: orphans }) };
}

/** Void copies on a node. */
export function voidCopies({ member: { node }, queue }: ProcessFacts): VoidCopies[] {
  return (queue?.copies?.void ?? []).map(({ node: owner, copies }) => ({ node, owner, copies }));
}

async function askKeys(clients: Clients, facts: ProcessFacts): Promise<void> {
  const there = { ...PATIENCE, node: facts.member.process };
  const { services } = facts.member;
  const held: { revision: number; behind?: string | undefined }[] = [];
  if (services.includes('credential-store')) {
    const { revision, state, problem, exposed, damage } = await clients
      .client(credentialStoreContract)
      ['status-show']({}, there);
    const follows = state === 'local' || state === 'following';
    facts.exposed = exposed ?? [];
    addDamage(facts, 'credentials', damage);
    held.push({ revision, behind: follows ? undefined : (problem ?? `its credential-store is ${state}`) });
  }
  if (services.includes('signer')) held.push(await clients.client(signerContract)['status-show']({}, there));
  if (held.length === 0) return;
  const behind = held.find((h) => h.behind !== undefined)?.behind;
  facts.keys = { revision: Math.min(...held.map((h) => h.revision)), ...(behind !== undefined && { behind }) };
}

/** Keys that differ may be a change on its way: look again. */
async function settleKeys(clients: Clients, processes: readonly ProcessFacts[]): Promise<void> {
  const holding = processes.filter((p) => p.keys !== undefined && p.trouble === undefined);
  if (new Set(holding.map((p) => p.keys?.revision)).size < 2) return;
  await delay(SETTLE_MS);
  await Promise.all(
    holding.map((facts) =>
      askKeys(clients, facts).catch((error: unknown) => {
        facts.trouble = troubleText(error);
      }),
    ),
  );
}

const troubleText = (error: unknown): string =>
  error instanceof SealpostError ? describeError(error) : errorText(error);

const order = (a: Member, b: Member): number => (a.node === b.node ? a.started - b.started : a.node < b.node ? -1 : 1);
