import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '#cluster/config/schema/schema.ts';
import { type ClosedQueue, openClosedQueue } from '#services/closed-stores.ts';
import { routerContract } from '#services/router/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { formatSize } from '#shared/units.ts';
import { nodesOf } from '../../reports/mail/routers.ts';
import type { Caller } from '../context.ts';
import type { Checked } from './archive/check.ts';
import type { Manifest } from './archive/manifest.ts';
import { giveTo, type Owner, ownerOf } from './closed-store.ts';
import { patiently } from './patience.ts';

/**
 * Puts mail of a backup into the queue on this disk, whose node does not run.
 *
 * A message of a backup may be elsewhere by now: delivered, returned, removed, or in the queue of a node that took it over.
 * So every router of the cluster is asked what it has, or had, of it: queue, receipts (its own, and those of nodes whose
 * second copies it kept), copies. What any of them knows is left out. A router that does not answer may know: then nothing
 * is restored, unless an administrator says that its disk is lost (--lost), and with it the only witness.
 *
 * They are asked twice, one round after the other: a message that is handed from a router to another between two answers of
 * the first round is met in the second. Nothing is handed to this node meanwhile, as it does not run.
 *
 * What remains can be doubled, and docs/operate/backup.md says so: mail that was delivered after the backup by a node whose disk is
 * lost, or of which the receipts are older than `receipts.keep`.
 */
export type MailOptions = {
  config: Config;
  mode: 'deliver' | 'hold';
  /** Whose queues; default: that of this node. */
  nodes: readonly string[] | undefined;
  lost: readonly string[];
  dryRun: boolean;
  owner: Owner | undefined;
  /** Undefined: nobody answers. */
  caller: Caller | undefined;
  /** It is a trial below another folder, of which the cluster knows nothing. */
  trial: boolean;
};

export type MailCounts = {
  node: string;
  messages: number;
  known: Record<'queued' | 'finished' | 'copy' | 'damaged', number>;
};

/** Ids in one question. */
const TOGETHER = 1000;

export class MailRestoration implements AsyncDisposable {
  readonly counts: MailCounts[] = [];
  /** Nodes whose mail is in the backup and is not to be restored. */
  readonly left: string[];
  readonly #options: MailOptions;
  readonly #wanted = new Map<string, Set<string>>();
  readonly #queue: ClosedQueue | undefined;
  #writer: { node: string; to: ReturnType<ClosedQueue['writer']> } | undefined;

  private constructor(options: MailOptions, left: string[], queue: ClosedQueue | undefined) {
    this.#options = options;
    this.left = left;
    this.#queue = queue;
  }

  /** Find out which messages are to be restored. Fails with `node-silent`, `node-running`, `store-locked` or `full`. */
  static async begin(
    options: MailOptions,
    { messages, manifest }: Pick<Checked, 'messages'> & { manifest: Pick<Manifest, 'queues'> },
    known: readonly string[],
  ) {
    const { config, nodes = [config.node.name] } = options;
    const bytes = manifest.queues.reduce((sum, { node, size }) => sum + (nodes.includes(node) ? size : 0), 0);
    if (!options.dryRun) await assertRoom(config, bytes);
    const routers = await routersOf(options, known);
    const there = (await ownerOf(folderOf(config))) !== undefined;
    const queue = options.dryRun && !there ? undefined : await openClosedQueue(config.node.data, silentLogger);
    const left = [...messages].flatMap(([node, ids]) => (nodes.includes(node) || ids.length === 0 ? [] : [node]));
    const made = new MailRestoration(options, left, queue);
    try {
      const places = lastPlaces(messages);
      for (const node of nodes) {
        const ids = messages.get(node)?.filter((id) => places.get(id) === node) ?? [];
        await made.#choose(node, ids, routers);
      }
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A record of a message, in the order of the backup. */
  async add(
    { node, id, key }: { node: string; id: string; key: string },
    content: () => Promise<Buffer>,
  ): Promise<void> {
    const { dryRun, mode } = this.#options;
    if (this.#wanted.get(node)?.has(id) !== true || dryRun || this.#queue === undefined) return;
    if (this.#writer?.node !== node) {
      await this.finish();
      this.#writer = { node, to: this.#queue.writer({ from: node, hold: mode === 'hold' }) };
    }
    await this.#writer.to.add(key, await content());
  }

  /** Resolves when all of it is on disk. Rejects with `store-failed`. */
  async finish(): Promise<void> {
    await this.#writer?.to.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { config, owner } = this.#options;
    if (this.#queue === undefined) return;
    await this.#queue[Symbol.asyncDispose]();
    if (owner !== undefined) await giveTo(folderOf(config), owner);
  }

  async #choose(node: string, ids: readonly string[], routers: readonly string[]): Promise<void> {
    const counts: MailCounts = { node, messages: 0, known: { queued: 0, finished: 0, copy: 0, damaged: 0 } };
    const wanted = new Set(ids);
    for (let n = 0; n < ids.length; n += TOGETHER) {
      const some = ids.slice(n, n + TOGETHER);
      const known = new Map<string, keyof MailCounts['known']>();
      for (const { id, as } of (await this.#queue?.known(some)) ?? []) known.set(id, as);
      // Twice: see the head of this file.
      for (const router of [...routers, ...routers])
        for (const { id, as } of await this.#ask(router, some)) known.set(id, as);
      for (const [id, as] of known) {
        if (wanted.delete(id)) counts.known[as]++;
      }
    }
    counts.messages = wanted.size;
    this.counts.push(counts);
    this.#wanted.set(node, wanted);
  }

  async #ask(node: string, ids: string[]) {
    const router = this.#options.caller?.client(routerContract);
    if (router === undefined) return [];
    try {
      return (await patiently(() => router['message-known']({ ids }, { node }))).known;
    } catch (error) {
      throw silent([node], errorText(error));
    }
  }
}

const folderOf = ({ node }: Config): string => join(node.data, 'queue');

/** LevelDB writes everything twice before it drops the first copy. Fails with `full`, before anything is written. */
async function assertRoom({ node, queue }: Config, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(node.data);
  const room = bavail * bsize - queue.reserve;
  if (bytes === 0 || room > 2 * bytes) return;
  const text = `the mail of the backup needs ${formatSize(2 * bytes)} on the disk of ${node.data}, which has room for ${formatSize(Math.max(0, room))} beside queue.reserve: no mail was restored`;
  throw new SealpostError('full', text);
}

/**
 * The node in whose queue each message was read last: one that was handed from node to node while the backup was made may
 * be there of both, and each may be restored on a disk of its own.
 */
function lastPlaces(messages: Checked['messages']): Map<string, string> {
  const places = new Map<string, string>();
  for (const [node, ids] of messages) for (const id of ids) places.set(id, node);
  return places;
}

/** The routers that are to be asked. Fails with `node-silent` where one cannot be, and with `node-running`. */
async function routersOf({ config, caller, lost, trial }: MailOptions, known: readonly string[]): Promise<string[]> {
  const own = config.node.name;
  const { up, silent: quiet } = nodesOf((await caller?.meet()) ?? [], 'router');
  if (trial) return [];
  if (up.includes(own)) {
    const text = `the router of node ${own} runs: stop it, so that mail can be put into its queue`;
    throw new SealpostError('node-running', text);
  }
  const missing = [...new Set([...known, ...quiet])].filter(
    (node) => node !== own && !up.includes(node) && !lost.includes(node),
  );
  if (missing.length > 0) throw silent(missing.toSorted(), undefined);
  return up;
}

function silent(nodes: readonly string[], reason: string | undefined): SealpostError {
  const text = `${nodes.join(', ')} ${nodes.length === 1 ? 'does' : 'do'} not answer${reason === undefined ? '' : ` (${reason})`} and may have mail of the backup, or have delivered it: no mail was restored; start ${nodes.length === 1 ? 'it' : 'them'}, or say with --lost that the disk is lost for good`;
  return new SealpostError('node-silent', text);
}
