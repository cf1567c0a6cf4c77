import { routerContract } from '#services/router/contract.ts';
import type { QueueChange } from '#shared/queue/change.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import type { Clients } from '../clients.ts';

/**
 * A change of mail on several nodes, page by page, all nodes at the same time. Counts are of pages that a router has confirmed.
 */

export type Change = {
  operation: QueueChange;
  filter: QueueFilter;
  via?: string;
  by: string;
  reason?: string;
};

/** What a node has done, or would do. */
export type Part = {
  node: string;
  count: number;
  /** Mail that arrived after this moment (ms since 1970, by the clock of the node) is left alone. */
  until?: number;
  /** The queue id after which it goes on; undefined at the start. */
  after?: string;
  /** All that is meant is done. */
  done: boolean;
  /** Of ids, those that the node does not have. */
  missing: { id: string; reason: string }[];
  /** Why the node is not asked any more. */
  error?: unknown;
};

export function newPart(node: string, after?: string): Part {
  return { node, count: 0, done: after === DONE, missing: [], ...(after !== undefined && after !== DONE && { after }) };
}

/** Go on with each part until it is done, fails or `stopped`. */
export async function changeParts(
  clients: Clients,
  change: Change & { dryRun: boolean },
  parts: readonly Part[],
  { stopped, onPage }: { stopped: () => boolean; onPage: () => void },
): Promise<void> {
  const router = clients.client(routerContract);
  const goOn = async (part: Part): Promise<void> => {
    while (!part.done && !stopped()) {
      const { after, until, node } = part;
      const bounds = { ...(after !== undefined && { after }), ...(until !== undefined && { until }) };
      const page = await router['queue-change']({ ...change, ...bounds }, { node });
      part.count += page.count;
      part.until = page.until;
      part.missing.push(...(page.missing ?? []));
      if (page.next === undefined) part.done = true;
      else part.after = page.next;
      onPage();
    }
  };
  await Promise.all(
    parts.map((part) =>
      goOn(part).catch((error: unknown) => {
        part.error = error;
      }),
    ),
  );
}

/** In a cursor, that a node has done all. */
const DONE = 'done';

/** Where a change goes on with `--after`: `<node>:<queue id>` for each node. */
export function cursorOf(parts: readonly Part[]): string {
  return parts
    .flatMap(({ node, after, done }) => (done ? [`${node}:${DONE}`] : after === undefined ? [] : [`${node}:${after}`]))
    .join(',');
}
