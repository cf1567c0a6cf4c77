import type { StoreOperation } from '#cluster/store.ts';
import { domainOf, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';

/**
 * The index by which messages and receipts are found: one entry for each sender, recipient and Message-ID.
 *
 *   find!<bucket>!f<domain>!<local part>!<queueId>    a reverse-path
 *   find!<bucket>!t<domain>!<local part>!<queueId>    a recipient, as it is delivered and as it was before
 *   find!<bucket>!m<Message-ID>!<queueId>             without its angle brackets
 *
 * Everything is in the key, and the value is empty. The labels of a domain stand in reverse order (`example.mail`), so
 * that a domain and all below it are next to each other; a local part is in lower case. The bucket is the time of arrival,
 * 17.5 minutes long: the first digits of the queue id. So entries are written, read newest first, and deleted where the
 * newest or the oldest lie, and the index of a week is not written again and again by LevelDB's compaction.
 *
 * An entry is written in the batch that makes the message, and deleted in the batch that deletes its receipt. One whose
 * message left no receipt (a damaged one, one that another node took over) finds nothing, and goes when it is as old as a
 * receipt may be (purge.ts).
 */

/** What of a message can be searched for. Receipts and messages of the queue have it alike. */
export type Searchable = {
  reversePath: string;
  messageId?: string | undefined;
  recipients: readonly { recipient: Pick<EnvelopeRecipient, 'address' | 'original' | 'orcpt' | 'reversePath'> }[];
};

/** Characters of one part of a term: what is longer is cut, when it is written and when it is asked for. */
const LONGEST = 255;
const BUCKET_DIGITS = 5;
const QUEUE_ID_LENGTH = 16;
const EMPTY = Buffer.alloc(0);

/** The terms of a message, each once. */
export function termsOf({ reversePath, messageId, recipients }: Searchable): Set<string> {
  const terms = new Set([`f${addressTerm(reversePath)}`]);
  if (messageId !== undefined) terms.add(messageIdTerm(messageId));
  for (const { recipient } of recipients) {
    for (const address of addressesOf(recipient)) terms.add(`t${addressTerm(address)}`);
    if (recipient.reversePath !== undefined) terms.add(`f${addressTerm(recipient.reversePath)}`);
  }
  return terms;
}

/** All addresses of a recipient: where its mail goes, what RCPT named, and what ORCPT did (RFC 3461 §4.2). */
export function addressesOf({ address, original, orcpt }: Searchable['recipients'][number]['recipient']): string[] {
  const all = [address];
  if (original !== undefined) all.push(original);
  const first = orcpt === undefined ? undefined : /^rfc822;(.+)$/i.exec(orcpt)?.[1];
  if (first !== undefined) all.push(first);
  return all;
}

/** The operations that write the entries of a message, or delete them. */
export function entriesOf(type: StoreOperation['type'], id: string, searchable: Searchable): StoreOperation[] {
  const operations: StoreOperation[] = [];
  const bucket = bucketOf(id);
  for (const term of termsOf(searchable)) {
    const key = `find!${bucket}!${term}!${id}`;
    operations.push(type === 'del' ? { type, key } : { type, key, value: EMPTY });
  }
  return operations;
}

/** `<domain in reverse>!<local part>` */
export function addressTerm(address: string): string {
  return `${domainTerm(domainOf(address))}!${localPartOf(address).slice(0, LONGEST).toLowerCase()}`;
}

export function domainTerm(domain: string): string {
  const name = normalizeDomain(domain).slice(0, LONGEST);
  // A term ends its domain with "!".
  const labels = name.includes('!') ? name.replaceAll('!', '%') : name;
  return labels.split('.').reverse().join('.');
}

export function messageIdTerm(messageId: string): string {
  return `m${messageId.replace(/^<|>$/g, '').slice(0, LONGEST)}`;
}

/** The bucket of a queue id, or of its first digits. */
export function bucketOf(id: string): string {
  return id.slice(0, BUCKET_DIGITS);
}

/** The queue id that an entry leads to. */
export function idOfEntry(key: string): string {
  return key.slice(-QUEUE_ID_LENGTH);
}
