import { z } from 'zod';
import type { Store } from '#cluster/store.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { Authenticity } from '#shared/mail/authenticity.ts';
import { EnvelopeRecipient, Origin } from '#shared/mail/envelope.ts';
import {
  type AuthenticationPage,
  type AuthenticationRequest,
  type AuthenticationTotal,
  countsOf,
  sumOfCounts,
} from '#shared/mail/reports/authentication-totals.ts';
import { HIGHEST } from '../receipts/ids.ts';
import { ownTest } from '../receipts/query.ts';
import { addressesOf } from '../receipts/terms.ts';
import { loadMessage } from '../store/load.ts';
import { keys, parseRecord, queueIdOf, Receipt } from '../store/records.ts';
import { payloadOf } from '../store/seal.ts';

/**
 * What was found out about the mail that came to this node, by the domain that it claims to be from and the client that
 * brought it, a page at a time: the receipts and the messages of the queue, newest first. Receipts of other nodes are theirs to
 * count.
 */

/** Work for one page. */
const PAGE_MS = 150;
/** Different domains and sources in a page: NATS carries 1 MB. */
const MOST_TOTALS = 1000;
/** Where the name of a field is not in a record, its text need not be read: most mail originates inside, and has none. */
const FIELD = '"authenticity":';

/** What is looked at of a message or receipt; to take all of it apart costs several times as much. */
const Counted = z.object({
  reversePath: z.string(),
  arrived: z.number(),
  origin: z.object({ client: Origin.shape.client.pick({ address: true }) }),
  authenticity: z
    .object({
      spf: Authenticity.shape.spf.pick({ result: true, domain: true }),
      dkim: z.array(Authenticity.shape.dkim.element.pick({ result: true })),
      dmarc: Authenticity.shape.dmarc.pick({ result: true, from: true, disposition: true }),
    })
    .optional(),
  /** Of a message in the queue, how many there are: they have records of their own. */
  recipients: z.union([
    z.number(),
    z.array(z.object({ recipient: EnvelopeRecipient.pick({ address: true, original: true, orcpt: true }) })),
  ]),
});

type Deps = { store: Store; log: Logger };
type Recorded = { id: string; key: string; sealed: Buffer };

export async function authenticationPage(
  { store, log }: Deps,
  { since, domains, below = HIGHEST }: AuthenticationRequest,
): Promise<AuthenticationPage> {
  const isOwn = ownTest({ domains });
  const totals = new Map<string, AuthenticationTotal>();
  const end = performance.now() + PAGE_MS;
  let unreadable = 0;
  const answer = (next?: string): AuthenticationPage => ({
    ...{ totals: [...totals.values()], unreadable, ...(next !== undefined && { next }) },
  });
  for await (const recorded of newestFirst(store, queueIdFloor(since), below)) {
    try {
      const total = await totalOf(store, recorded, domains === undefined ? undefined : isOwn);
      // An id may be later than the arrival, where a clock was set back.
      if (total !== undefined && total.last >= since) add(totals, total);
    } catch (error) {
      if (errorCode(error) !== 'corrupt') throw error;
      unreadable++;
      log.debug(
        { queueId: recorded.id, error: errorText(error) },
        'a damaged record was left out of the authentication results',
      );
    }
    if (totals.size >= MOST_TOTALS || performance.now() > end) return answer(recorded.id);
  }
  return answer();
}

function add(totals: Map<string, AuthenticationTotal>, total: AuthenticationTotal): void {
  const key = `${total.domain} ${total.source}`;
  const known = totals.get(key);
  totals.set(key, known === undefined ? total : { ...total, ...sumOfCounts(known, total) });
}

/** Undefined of mail that was not checked, and of what `isOwn` leaves out. */
async function totalOf(
  store: Store,
  { id, key, sealed }: Recorded,
  isOwn: ((address: string) => boolean) | undefined,
): Promise<AuthenticationTotal | undefined> {
  if (!payloadOf(sealed).includes(FIELD)) return undefined;
  const { authenticity, arrived, origin, reversePath, recipients } = parseRecord(Counted, key, sealed);
  if (authenticity === undefined) return undefined;
  const { spf, dmarc } = authenticity;
  const domain = normalizeDomain(dmarc.from ?? spf.domain);
  if (isOwn !== undefined && !isOwn(`@${domain}`) && !isOwn(reversePath)) {
    const all = typeof recipients === 'number' ? await recipientsOf(store, id) : recipients;
    if (!all.some(({ recipient }) => addressesOf(recipient).some(isOwn))) return undefined;
  }
  return { domain, source: origin.client.address, ...countsOf(authenticity, arrived) };
}

/** Of a message in the queue; one that left it meanwhile has a receipt. */
async function recipientsOf(store: Store, id: string): Promise<Exclude<z.infer<typeof Counted>['recipients'], number>> {
  try {
    return (await loadMessage(store, id)).recipients;
  } catch (error) {
    const receipt = errorCode(error) === 'corrupt' ? await store.get(keys.receipt(id)) : undefined;
    if (receipt === undefined) throw error;
    return parseRecord(Receipt, keys.receipt(id), receipt).recipients;
  }
}

/** Messages and receipts from `from` on and less than `below`, as they are at one moment: so none is in both. */
async function* newestFirst(store: Store, from: string, below: string): AsyncGenerator<Recorded> {
  const snapshot = store.snapshot();
  const read = (kind: string) =>
    entriesOf(snapshot.pages({ gte: `${kind}!${from}`, lt: `${kind}!${below}`, reverse: true }));
  const [queued, receipts] = [read('message'), read('receipt')];
  try {
    let [message, receipt] = [await queued.next(), await receipts.next()];
    while (message.done !== true || receipt.done !== true) {
      const isQueued = receipt.done === true || (message.done !== true && message.value.id > receipt.value.id);
      const next = isQueued ? message : receipt;
      if (next.done !== true) yield next.value;
      if (isQueued) message = await queued.next();
      else receipt = await receipts.next();
    }
  } finally {
    await queued.return(undefined);
    await receipts.return(undefined);
    await snapshot.close();
  }
}

async function* entriesOf(pages: AsyncIterable<[string, Buffer][]>): AsyncGenerator<Recorded, undefined> {
  for await (const page of pages) for (const [key, sealed] of page) yield { id: queueIdOf(key), key, sealed };
  return undefined;
}
