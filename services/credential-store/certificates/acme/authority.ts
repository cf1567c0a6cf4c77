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
 */

type Directory = OrderedCertificate['acme'];
export type Prove = (host: string, value: string) => Promise<() => Promise<void>>;

/** How long one answer may take. */
const ANSWER_MS = 30_000;
/** Questions whether a proof is accepted or a certificate is made, and the pauses between them: some two minutes. */
const POLLS = { backoffAttempts: 15, backoffMin: 1000, backoffMax: 10_000 };

/**
 * Order a certificate; resolves to its chain in PEM. `prove` shows that a host is ours, and answers how to take the proof
 * away again. Fails with `acme-failed`, or as `prove` does.
 */
export async function orderFrom(
  acme: Directory,
  account: KeyObject,
  wanted: { names: readonly string[]; request: string; prove: Prove },
): Promise<string> {
  const client = await connect(acme, account);
  await said('takes no account', () => enter(client, acme.contact));
  const identifiers = wanted.names.map((value) => ({ type: 'dns', value }));
  const order = await said('takes no order', () => client.createOrder({ identifiers }));
  const authorizations = await said('does not say what it wants proven', () => client.getAuthorizations(order));
  // One after the other: example.com and *.example.com have their records at one name.
  for (const authorization of authorizations) {
    if (authorization.status !== 'valid') await authorize(client, authorization, wanted.prove);
  }
  const made = await said('does not make the certificate', () => client.finalizeOrder(order, wanted.request));
  return said('does not hand out the certificate', () => client.getCertificate(made));
}

/**
 * Find the account of our key, or make it. Two questions, because the library would update an account that is there, and
 * RFC 8555 §7.3.2 knows no update without a change.
 */
async function enter(client: Client, contact: readonly string[]): Promise<void> {
  try {
    await client.createAccount({ onlyReturnExisting: true });
  } catch (error) {
    // No answer at all: the second question would have none either.
    if (errorCode(error) !== undefined) throw error;
    await client.createAccount({ termsOfServiceAgreed: true, ...(contact.length > 0 && { contact: [...contact] }) });
  }
}

type Authorization = Awaited<ReturnType<Client['getAuthorizations']>>[number];

async function authorize(client: Client, authorization: Authorization, prove: Prove): Promise<void> {
  const host = authorization.identifier.value;
  const challenge = authorization.challenges.find(({ type }) => type === 'dns-01');
  if (challenge === undefined) throw failed(`does not take a proof by DNS for ${host}`);
  const value = await client.getChallengeKeyAuthorization(challenge);
  const takeAway = await prove(host, value);
  try {
    await said(`is not content with the proof for ${host}`, async () => {
      await client.completeChallenge(challenge);
      await client.waitForValidStatus(authorization);
    });
  } finally {
    await takeAway();
  }
}

async function connect({ directory, ca }: Directory, account: KeyObject): Promise<Client> {
  const { Client, axios } = await import('acme-client');
  const extra = ca === undefined ? [] : [await readFile(ca, 'utf8')];
  axios.defaults.httpsAgent = new Agent({ ca: [...rootCertificates, ...extra] });
  axios.defaults.timeout = ANSWER_MS;
  axios.defaults.proxy = false;
  axios.interceptors.request.clear();
  axios.interceptors.response.clear();
  return new Client({ directoryUrl: directory, accountKey: pemOf(account), ...POLLS });
}

/** `acme-failed` with the words of the authority behind ours. */
async function said<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw failed(`${what}: ${errorText(error)}`);
  }
}

const failed = (text: string): SealpostError => new SealpostError('acme-failed', `the authority ${text}`);
