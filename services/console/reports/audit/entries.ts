import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { AuditEntry, AuditSearch } from '#shared/audit/entry.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';

/** The audit log of the cluster, put together of what each credential-store has of it. */

const PATIENCE_MS = 5000;

export type Found = {
  /** Newest first. */
  entries: AuditEntry[];
  /** There are older ones. */
  more: boolean;
  /** Nodes whose credential-store did not say what it has, or is not there. */
  silent: { node: string; error: unknown }[];
};

/** The newest entries that fit, at most `limit`. Fails as the first store where none answers. */
export async function findEntries(clients: Clients, search: AuditSearch, limit: number): Promise<Found> {
  const { members } = await clients.client(memberContract)['member-list']({}, { timeout: PATIENCE_MS });
  const { nodes, gone } = storesOf(members);
  const asked = await Promise.allSettled(nodes.map((node) => entriesOf(clients, node, search, limit)));
  const silent = asked.flatMap((one, n) =>
    one.status === 'rejected' ? [{ node: nodes[n] ?? '', error: one.reason as unknown }] : [],
  );
  silent.push(...gone.map((node) => ({ node, error: away() })));
  const answers = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (answers.length === 0 && silent[0] !== undefined) throw silent[0].error;
  // An entry whose first store was long in answering is at two of them.
  const all = new Map(answers.flatMap(({ entries }) => entries).map((entry) => [entry.id, entry]));
  const entries = [...all.values()].toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const more = entries.length > limit || answers.some((answer) => answer.more);
  return { entries: entries.slice(0, limit), more, silent };
}

/** The nodes that have a credential-store: those that are up, and others. */
function storesOf(members: readonly Member[]): { nodes: string[]; gone: string[] } {
  const stores = members.filter(({ services }) => services.includes('credential-store'));
  const up = new Set(stores.filter(({ state }) => state !== 'gone').map(({ node }) => node));
  const gone = new Set(stores.map(({ node }) => node)).difference(up);
  return { nodes: [...up].toSorted(), gone: [...gone].toSorted() };
}

const away = (): SealpostError => new SealpostError(CALL_ERRORS.unavailable, 'its credential-store is not up');

async function entriesOf(clients: Clients, node: string, search: AuditSearch, limit: number) {
  const store = clients.client(credentialStoreContract);
  const entries: AuditEntry[] = [];
  let before: string | undefined;
  do {
    const request = { ...search, ...(before !== undefined && { before }) };
    const page = await store['audit-list'](request, { node, timeout: PATIENCE_MS });
    entries.push(...page.entries);
    before = page.next;
  } while (before !== undefined && entries.length < limit);
  return { entries, more: before !== undefined };
}
