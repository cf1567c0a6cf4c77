import { join } from 'node:path';
import type { Settings } from '#cluster/config/settings.ts';
import { listCaptured, readCaptured } from '#shared/files/captured-mail.ts';
import type { CapturedMessage } from '#shared/files/captured-message.ts';
import { CHUNK_BYTES } from '../contract.ts';

/** What operators can see of captured mail, from wherever they are: this node has it in its data folder. */

/** A page is full when it has this many characters of JSON: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;

const folderOf = (settings: Settings): string => join(settings.current.node.data, 'capture');

/** A page of captured mail after the id `after`, oldest first; with `next` where there is more. */
export async function capturedPage(
  settings: Settings,
  { after = '', limit }: { after?: string | undefined; limit: number },
): Promise<{ messages: CapturedMessage[]; next?: string }> {
  const messages: CapturedMessage[] = [];
  let size = 0;
  for await (const message of listCaptured(folderOf(settings), after)) {
    const last = messages.at(-1);
    if (last !== undefined && (messages.length >= limit || size >= PAGE_CHARACTERS)) return { messages, next: last.id };
    messages.push(message);
    size += JSON.stringify(message).length;
  }
  return { messages };
}

/** A piece of a captured message. Throws `not-found` or `corrupt`. */
export async function capturedPiece(
  settings: Settings,
  { id, offset }: { id: string; offset: number },
): Promise<{ reply: { envelope: CapturedMessage; file: string }; bytes: Uint8Array }> {
  const folder = folderOf(settings);
  const { envelope, message } = await readCaptured(folder, id);
  const bytes = message.subarray(offset, offset + CHUNK_BYTES);
  return { reply: { envelope, file: join(folder, `${envelope.id}.eml`) }, bytes };
}
