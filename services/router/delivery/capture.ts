import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '#shared/errors.ts';
import type { CapturedMessage } from '#shared/files/captured-message.ts';
import { makeFolder } from '#shared/files/folder.ts';
import { reply } from '#shared/mail/reply.ts';
import { allRecipients, diskTrouble, type Transport } from './channel.ts';
import { localTransport } from './connectionless.ts';
import { FolderSync, writeSynced } from './files.ts';
import type { Job } from './job.ts';

/**
 * Mail that stays on this machine, as it would have been sent. `shared/files/captured-mail.ts` describes the files; the
 * `.json` is written last and renamed into place.
 */

export function captureTransport(folder: string): Transport {
  const folderSync = new FolderSync(folder);
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
      await folderSync.sync();
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
