import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Envelope } from '#shared/envelope.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { reply } from '#shared/reply.ts';
import type { Job } from '../job.ts';
import { allRecipients, diskTrouble, type Transport } from './channel.ts';
import { FolderSync, makeFolder, writeSynced } from './files.ts';
import { localTransport } from './local.ts';

/**
 * Mail that stays on this machine, as it would have been sent: `<time>-<queue id>.eml` holds the message with its
 * signatures, `.json` beside it the envelope. The `.json` is written last and renamed into place: a message that has one
 * is complete.
 */

export const CapturedMessage = Envelope.extend({
  /** Name of its files, without ending. */
  id: z.string(),
  queueId: z.string(),
  trace: z.string(),
  /** ms since 1970 */
  at: z.number(),
  size: z.number().int(),
  junk: z.boolean(),
});
export type CapturedMessage = z.infer<typeof CapturedMessage>;

/** Names that we give, and nothing that could lead out of the folder. */
const ID = /^\d{8}T\d{9}Z-[0-9A-Za-z]{1,64}$/;

export function captureTransport(folder: string): Transport {
  const names = new FolderSync(folder);
  let made: Promise<void> | undefined;
  return localTransport(async (job, message) => {
    try {
      made ??= makeFolder(folder);
      await made;
      const { id, size, at } = await writeMessage(folder, job, message.read);
      const path = join(folder, id);
      const envelope = `${JSON.stringify(describe(job, id, size, at), undefined, 2)}\n`;
      await writeSynced(`${path}.json.tmp`, [Buffer.from(envelope)]);
      await rename(`${path}.json.tmp`, `${path}.json`);
      await names.sync();
      return allRecipients(job, {
        state: 'delivered',
        reply: reply(250, '2.0.0', `captured as ${id}`),
        host: 'capture',
        notice: 'final',
      });
    } catch (error) {
      // The folder may have been removed; the next message makes it again.
      made = undefined;
      const kept = diskTrouble(error, `cannot capture into ${folder}`);
      return allRecipients(job, { state: 'deferred', reply: kept, local: true, host: 'capture' });
    }
  });
}

async function writeMessage(
  folder: string,
  job: Job,
  read: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ id: string; size: number; at: number }> {
  // Jobs of one message can end in the same millisecond; the later one takes the next free name.
  for (let at = Date.now(); ; at++) {
    const id = `${new Date(at).toISOString().replace(/[-:.]/g, '')}-${job.queueId}`;
    try {
      return { id, size: await writeSynced(join(folder, `${id}.eml`), read()), at };
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
  }
}

function describe(job: Job, id: string, size: number, at: number): CapturedMessage {
  const { queueId, trace, reversePath, junk, smtpUtf8 } = job;
  return {
    id,
    queueId,
    trace,
    at,
    size,
    junk,
    reversePath,
    recipients: job.recipients.map(({ recipient }) => recipient),
    smtpUtf8,
    ...(job.ret === undefined ? {} : { ret: job.ret }),
    ...(job.envid === undefined ? {} : { envid: job.envid }),
  };
}

/** What was captured, oldest first; empty when the folder does not exist yet. */
export async function listCaptured(folder: string): Promise<CapturedMessage[]> {
  const found: CapturedMessage[] = [];
  for (const id of await idsIn(folder)) found.push(await readEnvelope(folder, id));
  return found;
}

/**
 * One captured message, by its id or its queue id (then the last one captured). Fails with `not-found`, or with
 * `corrupt` when its envelope cannot be read.
 */
export async function readCaptured(
  folder: string,
  id: string,
): Promise<{ envelope: CapturedMessage; message: Buffer }> {
  const match = (await idsIn(folder)).findLast((known) => known === id || known.endsWith(`-${id}`));
  if (match === undefined) throw new SealpostError('not-found', `no message ${id} was captured in ${folder}`);
  return { envelope: await readEnvelope(folder, match), message: await readFile(join(folder, `${match}.eml`)) };
}

async function idsIn(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  return names
    .filter((name) => name.endsWith('.json') && ID.test(name.slice(0, -'.json'.length)))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();
}

async function readEnvelope(folder: string, id: string): Promise<CapturedMessage> {
  const path = join(folder, `${id}.json`);
  try {
    return CapturedMessage.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (errorCode(error) !== undefined) throw error;
    throw new SealpostError('corrupt', `${path} does not describe a captured message`, { cause: error });
  }
}
