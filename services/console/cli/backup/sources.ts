import type { Config } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { openClosedCredentials, openClosedQueue } from '#services/closed-stores.ts';
import { credentialStoreContract, type RecordMap } from '#services/credential-store/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { nodesOf, type Routers } from '../../reports/mail/routers.ts';
import { type Caller, connect } from '../context.ts';
import { closedStore } from './closed-store.ts';
import { patiently } from './patience.ts';

/** A page of mail: keys and sizes of records, whose bytes follow each other. */
export type MailPage = { records: { key: string; size: number }[]; bytes: Uint8Array; damaged: string[] };

/** Where the records and the mail of a backup come from: services that run, or the stores of a node that does not. */
export type Sources = AsyncDisposable & {
  recordsOf(map: RecordMap): AsyncGenerator<RecordsPage>;
  /** Nodes with a router: those whose mail can be read, and those that say nothing. */
  routers: Routers;
  mailOf(node: string): AsyncGenerator<MailPage>;
};

/** `behind`: why these may not be the newest; `lost`: how many records of the node cannot be read. */
export type RecordsPage = { node: string; records: string[]; behind?: string | undefined; lost: number };

/**
 * Fails with `no-node` where no service answers and the stores of this machine are not there either, with `store-locked`
 * where a process has them that does not answer. `withMail`: the queue of this machine is opened too, where its router
 * does not run.
 */
export async function openSources(config: Config, withMail: boolean): Promise<Sources> {
  await using undo = new AsyncDisposableStack();
  const caller = await connectIfUp(config);
  if (caller !== undefined) undo.use(caller);
  const members = (await caller?.meet()) ?? [];
  const routers = nodesOf(members, 'router');
  const own = config.node.name;
  const hasStore = nodesOf(members, 'credential-store').up.length > 0;
  const recordsOf =
    caller !== undefined && hasStore
      ? (map: RecordMap) => askRecords(caller, map)
      : undo.use(await closedRecords(config)).recordsOf;
  const queue = withMail && !routers.up.includes(own) ? await closedStore(config, 'queue', openQueue) : undefined;
  if (queue !== undefined) undo.use(queue);
  const resources = undo.move();
  return {
    recordsOf,
    routers: {
      up: [...routers.up, ...(queue === undefined ? [] : [own])].toSorted(),
      silent: routers.silent.filter((node) => queue === undefined || node !== own),
    },
    mailOf: (node) => (node === own && queue !== undefined ? pagesOf(queue.store.page) : askMail(caller, node)),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Undefined where nobody answers. */
export async function connectIfUp(config: Config): Promise<Caller | undefined> {
  const caller = await connect(config).catch(nobody);
  if ((await caller?.meet().catch(nobody)) !== undefined) return caller;
  await caller?.[Symbol.asyncDispose]();
  return undefined;
}

function nobody(error: unknown): undefined {
  if (['no-node', CALL_ERRORS.unavailable].includes(errorCode(error) ?? '')) return undefined;
  throw error;
}

export async function* askRecords(caller: Caller, map: RecordMap): AsyncGenerator<RecordsPage> {
  const store = caller.client(credentialStoreContract);
  let page = await patiently(() => store['record-list']({ map }));
  yield page;
  while (page.next !== undefined) {
    // Records that one node has and another has not must not be between two pages.
    const { node, next: after } = page;
    page = await patiently(() => store['record-list']({ map, after }, caller.connected ? { node } : {}));
    yield page;
  }
}

async function closedRecords(config: Config) {
  const open = () => openClosedCredentials(new Settings(config), { neks: [], log: silentLogger });
  const opened = await closedStore(config, 'credentials', open);
  if (opened === undefined) {
    const text = `no node answers, and there is no store in ${config.node.data} on this machine: run this where a node is, or start one`;
    throw new SealpostError('no-node', text);
  }
  const { node } = config;
  return {
    async *recordsOf(map: RecordMap): AsyncGenerator<RecordsPage> {
      for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
        const { records, next, lost } = opened.store.page(map, after);
        yield { node: node.name, records, lost: first ? lost : 0 };
        after = next;
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

const openQueue = ({ node }: Config) => openClosedQueue(node.data, silentLogger);

async function* askMail(caller: Caller | undefined, node: string): AsyncGenerator<MailPage> {
  const router = caller?.client(routerContract);
  if (router === undefined) throw new SealpostError('no-node', `the router of ${node} does not answer`);
  yield* pagesOf(async (after) => {
    const { reply, bytes } = await patiently(() =>
      router['message-copy'](after === undefined ? {} : { after }, { node }),
    );
    return { ...reply, bytes, next: reply.next };
  });
}

async function* pagesOf(
  ask: (after: string | undefined) => Promise<MailPage & { next?: string | undefined }>,
): AsyncGenerator<MailPage> {
  let page = await ask(undefined);
  yield page;
  while (page.next !== undefined) {
    page = await ask(page.next);
    yield page;
  }
}
