import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '#cluster/config/schema/schema.ts';
import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { listCaptured, readCaptured } from '#shared/files/captured-mail.ts';
import type { CapturedMessage } from '#shared/files/captured-message.ts';
import { askEach, findRouters, type Routers, whereItIs } from '../../reports/mail/routers.ts';
import { type Caller, type CommonOptions, openCaller, readConfig } from '../context.ts';
import { tellUndone } from './undone.ts';

/**
 * Captured mail, wherever it is: with a bus on the nodes of the routers, which are asked for it; without one, or where
 * they cannot be asked, in the data folder of this node, which need not run.
 */

export type Captured = CapturedMessage & { node: string };
export type CapturedWhole = { envelope: Captured; file: string; message: Buffer };

/** `node` names one; otherwise all are meant. */
export type CapturedOptions = CommonOptions & { node?: string };

const PAGE = 500;

/** `silent`: nodes whose mail is not among it, because their routers did not answer; that was said. */
export type CapturedList = { messages: Captured[]; silent: string[] };

/** All of it, oldest first. */
export function allCaptured(options: CapturedOptions): Promise<CapturedList> {
  return fromRouters(options, listRemote, async ({ node }, folder) => {
    const messages = await Array.fromAsync(listCaptured(folder));
    return { messages: messages.map((message) => ({ ...message, node: node.name })), silent: [] };
  });
}

/** One message, by its id or queue id. Fails with `not-found` or `corrupt`. */
export function oneCaptured(id: string, options: CapturedOptions): Promise<CapturedWhole> {
  const remote = (caller: Caller, routers: Routers): Promise<CapturedWhole> =>
    whereItIs(routers, (node) => readRemote(caller, node, id));
  return fromRouters(options, remote, async ({ node }, folder) => {
    const { envelope, message } = await readCaptured(folder, id);
    return { envelope: { ...envelope, node: node.name }, file: join(folder, `${envelope.id}.eml`), message };
  });
}

async function fromRouters<T>(
  options: CapturedOptions,
  remote: (caller: Caller, routers: Routers) => Promise<T>,
  local: (config: Config, folder: string) => Promise<T>,
): Promise<T> {
  const config = await readConfig(options);
  const folder = join(config.node.data, 'capture');
  if (config.bus.servers.length === 0) return local(config, folder);
  try {
    await using caller = await openCaller(options);
    return await remote(caller, await findRouters(caller, options.node));
  } catch (error) {
    const unreached: unknown[] = [CALL_ERRORS.unavailable, 'no-node'];
    // A router's user of NATS may not ask; its container has the mail.
    if (!unreached.includes(errorCode(error)) || !existsSync(folder)) throw error;
    console.error(`the routers cannot be asked (${errorText(error)}): this is mail on this node alone`);
    return local(config, folder);
  }
}

async function listRemote(caller: Caller, routers: Routers): Promise<CapturedList> {
  const silent: string[] = [];
  const found = await askEach(
    routers,
    (node) => listOne(caller, node),
    (node, error) => {
      silent.push(node);
      tellUndone(`the mail that was captured on ${node} is not listed`, error);
    },
  );
  // An id begins with the time.
  return { messages: found.flat().sort((a, b) => (a.id < b.id ? -1 : 1)), silent };
}

async function listOne(caller: Caller, node: string): Promise<Captured[]> {
  const router = caller.client(routerContract);
  const found: Captured[] = [];
  let after: string | undefined;
  do {
    const page = await router['captured-list']({ limit: PAGE, ...(after !== undefined && { after }) }, { node });
    found.push(...page.messages.map((message) => ({ ...message, node })));
    after = page.next;
  } while (after !== undefined);
  return found;
}

async function readRemote(caller: Caller, node: string, id: string): Promise<CapturedWhole> {
  const router = caller.client(routerContract);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; ; ) {
    const { reply, bytes } = await router['captured-read']({ id, offset }, { node });
    const { envelope, file } = reply;
    if (bytes.length === 0) return { file, envelope: { ...envelope, node }, message: Buffer.concat(pieces) };
    pieces.push(bytes);
    offset += bytes.length;
  }
}
