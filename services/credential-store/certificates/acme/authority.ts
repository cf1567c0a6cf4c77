import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { rootCertificates } from 'node:tls';
import type { Client } from 'acme-client';
import { pemOf } from '#cluster/certificates/pair.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';

/**
 * An authority that speaks ACME (RFC 8555), through `acme-client`. Relies on these parts of version 5.4.0 (pinned exactly):
 * `axios`, the one instance through which all requests go, with its `defaults` and
 * `interceptors`. So the authorities that the directory is
 * trusted by are set for the whole process, and one order is under way at a time (orders.ts).
 *
 * Its interceptors are taken out, which repeat what fails for minutes and then lose the reason: an order that fails is told
 * and tried again later (schedule.ts). It still repeats what was refused for a bad nonce (RFC 8555 §6.5).
 *
 * An order has a URL and a state at the authority (§7.1.6), so it can be gone on with by whoever has the key of the
 * account:
 *
 *   pending     the names are proven, but those that are proven already; then as ready
 *   ready       the certificate is asked for with the request of the order
 *   processing  the authority makes it, which is waited for; after a day it is taken for lost, and a new order is made
 *   valid       it is fetched
 *   invalid, or not known any more: a new order
 */

type Directory = OrderedCertificate['acme'];
export type Prove = (proof: { host: string; token: string; value: string }) => Promise<() => Promise<void>>;

export type Wanted = {
  names: readonly string[];
  /** The order for these names that was begun before, and when that was. */
  begun?: { url: string; since: number } | undefined;
  /** The certificate that it takes the place of, by its identifier for renewal information (RFC 9773 §5). */
  replaces?: string | undefined;
  /** The request (PKCS #10) of the order with this URL; called before anything is proven for it. */
  requestOf: (url: string) => Promise<string>;
  /** Show that a host is ours: `value` is what the authority expects. Answers how to take the proof away again. */
  prove: Prove;
};

/** How long one answer may take, from the connection to its last byte, and its size: a chain has some 10 KB. */
const ANSWER_MS = 30_000;
const LONGEST_ANSWER = 1024 * 1024;
/** How long an order may be in `processing`: authorities need seconds, and an order cannot be taken back. */
const LONGEST_PROCESSING_MS = 86_400_000;
/** Questions whether a proof is accepted or a certificate is made, and the pauses between them: some two minutes. */
const POLLS = { backoffAttempts: 15, backoffMin: 1000, backoffMax: 10_000 };

/** Order a certificate, or go on with an order; resolves to its chain in PEM. Fails with `acme-failed`, or as `wanted`. */
export async function orderFrom(acme: Directory, account: KeyObject, wanted: Wanted): Promise<string> {
  const client = await connect(acme, account);
  await said('takes no account', () => enter(client, acme.contact));
  let order = (await begunOrder(client, wanted)) ?? (await newOrder(client, wanted));
  const request = await wanted.requestOf(order.url);
  if (order.status === 'pending') await proveNames(client, order, { ...wanted, challenge: acme.challenge });
  if (order.status === 'pending' || order.status === 'ready') {
    const proven = order;
    order = await said('does not make the certificate', () => client.finalizeOrder(proven, request));
  }
  return said('does not hand out the certificate', () => client.getCertificate(order));
}

type Order = Awaited<ReturnType<Client['createOrder']>>;

function newOrder(client: Client, { names, replaces }: Wanted): Promise<Order> {
  const identifiers = names.map((value) => ({ type: 'dns', value }));
  return said('takes no order', async () => {
    if (replaces !== undefined) {
      try {
        // The library passes on what it does not know.
        return await client.createOrder({ identifiers, ...{ replaces } });
      } catch (error) {
        // It may be replaced already, in the view of the authority (RFC 9773 §5): that must not keep us from a new one.
        if (isUnanswered(error)) throw error;
      }
    }
    return client.createOrder({ identifiers });
  });
}

/** Undefined where it is of no use any more. */
async function begunOrder(client: Client, { begun }: Wanted): Promise<Order | undefined> {
  if (begun === undefined) return undefined;
  try {
    const order = await client.getOrder({ url: begun.url } as Order);
    const isLost = order.status === 'processing' && Date.now() - begun.since > LONGEST_PROCESSING_MS;
    return order.status === 'invalid' || isLost ? undefined : order;
  } catch (error) {
    if (isUnanswered(error)) throw failed(`does not show the order that was begun: ${errorText(error)}`);
    return undefined;
  }
}

/**
 * Find the account of our key, or make it. Two questions, because the library would update an account that is there, and
 * RFC 8555 §7.3.2 knows no update without a change.
 */
async function enter(client: Client, contact: readonly string[]): Promise<void> {
  try {
    await client.createAccount({ onlyReturnExisting: true });
  } catch (error) {
    // The second question would have no answer either.
    if (isUnanswered(error)) throw error;
    await client.createAccount({ termsOfServiceAgreed: true, ...(contact.length > 0 && { contact: [...contact] }) });
  }
}

type Authorization = Awaited<ReturnType<Client['getAuthorizations']>>[number];
type Proof = Pick<Wanted, 'names' | 'prove'> & { challenge: Directory['challenge'] };

async function proveNames(client: Client, order: Order, proof: Proof): Promise<void> {
  const authorizations = await said('does not say what it wants proven', () => client.getAuthorizations(order));
  // One after the other: example.com and *.example.com have their records at one name.
  for (const authorization of authorizations) {
    if (authorization.status !== 'valid') await authorize(client, authorization, proof);
  }
}

async function authorize(client: Client, authorization: Authorization, proof: Proof): Promise<void> {
  const { names, challenge, prove } = proof;
  const host = authorization.identifier.value;
  // It would have us change the zone of another name.
  if (!names.some((name) => name.replace(/^\*\./, '') === host))
    throw failed(`wants ${host} proven, which was not ordered`);
  const offered = authorization.challenges.find(({ type }) => type === challenge);
  if (offered === undefined) throw failed(`does not take a proof by ${challenge} for ${host}`);
  const value = await client.getChallengeKeyAuthorization(offered);
  const takeAway = await prove({ host, token: offered.token, value });
  try {
    // A node that is gone may have asked for it to be looked at (RFC 8555 §7.5.1).
    if (offered.status === 'pending') await client.completeChallenge(offered);
    await client.waitForValidStatus(authorization);
  } catch (error) {
    const reason = isUnanswered(error) ? undefined : await refusalOf(client, authorization);
    throw failed(`is not content with the proof for ${host}: ${reason ?? errorText(error)}`);
  } finally {
    await takeAway();
  }
}

/** Why the authority did not accept a proof, in its words (RFC 8555 §8.2); undefined where it does not say. */
async function refusalOf(client: Client, { url }: Authorization): Promise<string | undefined> {
  const asked = { authorizations: [url] } as Order;
  const [now] = await client.getAuthorizations(asked).catch(() => []);
  const errors = now?.challenges.map(({ error }) => error as { detail?: unknown } | undefined) ?? [];
  const details = errors.map((error) => error?.detail);
  return details.find((detail) => typeof detail === 'string');
}

async function connect(acme: Directory, account: KeyObject): Promise<Client> {
  const { Client } = await transport(acme);
  return new Client({ directoryUrl: acme.directory, accountKey: pemOf(account), ...POLLS });
}

/** The library, set up for this authority. `answerMs`: how long an answer may take. */
export async function transport(
  { ca }: Pick<Directory, 'ca'>,
  answerMs = ANSWER_MS,
): Promise<typeof import('acme-client')> {
  const library = await import('acme-client');
  const { axios } = library;
  const extra = ca === undefined ? [] : [await readFile(ca, 'utf8')];
  axios.defaults.httpsAgent = new Agent({ ca: [...rootCertificates, ...extra] });
  axios.defaults.maxContentLength = LONGEST_ANSWER;
  axios.defaults.proxy = false;
  axios.interceptors.request.clear();
  axios.interceptors.response.clear();
  // Its own time limit is about pauses: a byte now and then would keep us from every order.
  axios.interceptors.request.use((config) => ({ ...config, signal: AbortSignal.timeout(answerMs) }) as typeof config);
  axios.interceptors.response.use(null, (error: unknown) => {
    throw errorCode(error) === 'ERR_CANCELED' ? new NoAnswer(answerMs) : error;
  });
  return library;
}

/** The authority did not end its answer in time. */
class NoAnswer extends Error {
  readonly code = 'ETIMEDOUT';

  constructor(answerMs: number) {
    super(`there was no complete answer within ${answerMs / 1000} s`);
  }
}

/** Whether a question had no answer at all; what an authority answers has no code. */
const isUnanswered = (error: unknown): boolean => errorCode(error) !== undefined;

/** `acme-failed` with the words of the authority behind ours. */
async function said<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw failed(`${what}: ${errorText(error)}`);
  }
}

const failed = (text: string): SealpostError => new SealpostError('acme-failed', `the authority ${text}`);
