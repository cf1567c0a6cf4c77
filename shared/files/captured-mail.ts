import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, SealpostError } from '../errors.ts';
import { CapturedMessage } from './captured-message.ts';

/**
 * Mail that was captured instead of sent, as the router lays it down (delivery/capture.ts) and the command line reads it:
 * `<time>-<queue id>.eml` holds the message with its signatures, `.json` beside it the envelope. A message that has a
 * `.json` is complete.
 */

/** Names that we give, and nothing that could lead out of the folder. */
const ID = /^\d{8}T\d{9}Z-[0-9A-Za-z]{1,64}$/;

/** What was captured after the message `after`, oldest first; nothing when the folder does not exist yet. */
export async function* listCaptured(folder: string, after = ''): AsyncGenerator<CapturedMessage> {
  for (const id of await idsIn(folder)) if (id > after) yield await readEnvelope(folder, id);
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
