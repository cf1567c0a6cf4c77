import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { WebhookConfig } from '../config/schema/webhooks/entry.ts';
import type { Store, StoreOperation } from '../store.ts';

/**
 * Which webhooks are paused, over restarts: `webhook-paused!<name>`, of the URL whose receiver is gone. A URL may have a token
 * in it, so its digest is kept.
 */

const PREFIX = 'webhook-paused!';
const PausedRecord = z.object({ at: z.number(), url: z.string() });

type Addressed = Pick<WebhookConfig, 'name' | 'url'>;

const digestOf = (url: string): string => createHash('sha256').update(url).digest('base64');

/** `at`: ms since 1970. */
export function putPaused({ name, url }: Addressed, at: number): StoreOperation {
  return { type: 'put', key: PREFIX + name, value: Buffer.from(JSON.stringify({ at, url: digestOf(url) })) };
}

export function deletePaused(name: string): StoreOperation {
  return { type: 'del', key: PREFIX + name };
}

/** Since when each of these is paused, by its name. What another URL has ended is forgotten. Rejects with `store-failed`. */
export async function readPaused(store: Store, webhooks: readonly Addressed[]): Promise<Map<string, number>> {
  const urls = new Map(webhooks.map(({ name, url }) => [name, url]));
  const paused = new Map<string, number>();
  for await (const [key, value] of store.entries({ gte: PREFIX, lt: 'webhook-paused"' })) {
    const name = key.slice(PREFIX.length);
    const url = urls.get(name);
    const at = url === undefined ? undefined : pausedAt(value, url);
    if (at !== undefined) paused.set(name, at);
    else store.persist([deletePaused(name)]).catch(() => undefined);
  }
  return paused;
}

/** Undefined where it was another URL that was paused. */
function pausedAt(record: Buffer, url: string): number | undefined {
  try {
    const paused = PausedRecord.parse(JSON.parse(record.toString()));
    return paused.url === digestOf(url) ? paused.at : undefined;
  } catch {
    return undefined;
  }
}
