import { createHash } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { makeFolder, syncFolder } from '#shared/files/folder.ts';
import type { Logger } from '#shared/log.ts';
import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import { formatReply, reply } from '#shared/mail/reply.ts';
import { allRecipients, diskTrouble, type Transport } from './channel.ts';
import { localTransport } from './connectionless.ts';
import { writeSynced } from './files.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from './job.ts';

/**
 * Final delivery into Maildir++ folders, `<folder>/<domain>/<local part>/{tmp,new,cur}`, junk into `.Junk` below.
 *
 * A message is written to `tmp`, synced, renamed into `new`, and `new` is synced: only then is it delivered. Lines end
 * in LF there, as mail readers expect of files on Unix. `Return-Path` and `Delivered-To` go in front (RFC 5321 §4.4);
 * a message that was delivered to this mailbox before is in a loop.
 */

/** Longest header block that is searched for Delivered-To; listeners accept less. */
const MAX_HEADER = 1024 * 1024;

let counter = 0;

export function maildirTransport(folder: string, options: { hostname: () => string; log: Logger }): Transport {
  const made = new Set<string>();
  return localTransport(async (job, message) => {
    const results: RecipientResult[] = [];
    for (const recipient of job.recipients) {
      const mailbox = mailboxFolder(folder, recipient.recipient.address, job.junk);
      try {
        results.push(await deliver(job, message, recipient, { mailbox, made, hostname: options.hostname() }));
      } catch (error) {
        made.delete(mailbox);
        const kept = diskTrouble(error, `cannot deliver into ${mailbox}`);
        options.log.error(
          { queueId: job.queueId, trace: job.trace, error: formatReply(kept) },
          'maildir delivery failed',
        );
        results.push(
          ...allRecipients(job, { state: 'deferred', reply: kept, local: true, host: 'maildir' }, [recipient]),
        );
      }
    }
    return results;
  });
}

type Place = { mailbox: string; made: Set<string>; hostname: string };

async function deliver(
  job: Job,
  message: OpenedMessage,
  recipient: JobRecipient,
  place: Place,
): Promise<RecipientResult> {
  const { mailbox } = place;
  const result = (state: 'delivered' | 'failed', code: number, enhanced: string, text: string): RecipientResult => ({
    index: recipient.index,
    state,
    outcome: { at: Date.now(), host: 'maildir', reply: reply(code, enhanced, text) },
    ...(state === 'delivered' ? { notice: 'final' } : {}),
  });
  const { address } = recipient.recipient;
  const { header, rest } = await splitAtBody(message.read());
  if (wasDeliveredTo(header, address)) return result('failed', 554, '5.4.6', `mail for ${address} is in a loop`);
  if (!place.made.has(mailbox)) {
    for (const part of ['tmp', 'new', 'cur']) await makeFolder(join(mailbox, part));
    place.made.add(mailbox);
  }
  const name = uniqueName(job, place.hostname);
  const front = Buffer.from(`Return-Path: <${job.reversePath}>\nDelivered-To: ${address}\n`, 'utf8');
  const size = await writeSynced(join(mailbox, 'tmp', name), withLf(front, header, rest));
  await rename(join(mailbox, 'tmp', name), join(mailbox, 'new', name));
  await syncFolder(join(mailbox, 'new'));
  return result(
    'delivered',
    250,
    '2.1.5',
    `${size} bytes written to ${job.junk ? 'Junk' : 'the mailbox'} of ${address}`,
  );
}

/**
 * The folder of a mailbox. Any address gives one folder below `folder`: everything but letters, digits and a few marks
 * is written as %XX, a leading dot too. Local parts are compared without case, as in the directory.
 */
export function mailboxFolder(folder: string, address: string, junk = false): string {
  const mailbox = join(folder, safeName(domainOf(address)), safeName(localPartOf(address)));
  return junk ? join(mailbox, '.Junk') : mailbox;
}

function safeName(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/^\.|[^a-z0-9._+=-]/gu, (c) =>
      [...Buffer.from(c, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
  // `%` alone stands for no character, so no other name can be the same.
  if (name === '') return '%';
  // File systems take 255 bytes.
  return name.length <= 200
    ? name
    : `${name.slice(0, 128)}%${createHash('sha256').update(text.toLowerCase()).digest('hex')}`;
}

/**
 * `<seconds>.<unique>.<host>`, unique by process and counter; the host without the characters that have a meaning in
 * such a name.
 */
function uniqueName(job: Job, hostname: string): string {
  const now = Date.now();
  const unique = `M${(now % 1000) * 1000}P${process.pid}Q${counter++}I${job.queueId}`;
  return `${Math.floor(now / 1000)}.${unique}.${hostname.replace(/[^a-z0-9.-]/gi, '_')}`;
}

/** The header block with its empty line, and what follows. */
async function splitAtBody(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ header: Buffer; rest: AsyncIterable<Uint8Array> }> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let head = Buffer.alloc(0);
  let end = -1;
  while (end < 0 && head.length <= MAX_HEADER) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
    end = head.indexOf('\r\n\r\n');
  }
  const length = end < 0 ? head.length : end + 4;
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield head.subarray(length);
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  }
  return { header: head.subarray(0, length), rest: rest() };
}

function wasDeliveredTo(header: Buffer, address: string): boolean {
  // Most mail has not been delivered before: spare it the parsing.
  if (!/^delivered-to/im.test(header.toString('latin1'))) return false;
  return splitHeader(header.toString('latin1')).some(
    (field) =>
      field.name === 'delivered-to' &&
      Buffer.from(fieldValue(field), 'latin1').toString('utf8').toLowerCase() === address.toLowerCase(),
  );
}

/** `front`, then header and body with CRLF turned into LF; a bare CR stays. */
async function* withLf(front: Buffer, header: Buffer, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield front;
  yield Buffer.from(header.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
  let held = '';
  for await (const chunk of rest) {
    const text = held + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1');
    held = text.endsWith('\r') ? '\r' : '';
    yield Buffer.from(text.slice(0, text.length - held.length).replaceAll('\r\n', '\n'), 'latin1');
  }
  if (held !== '') yield Buffer.from(held, 'latin1');
}
