import { z } from 'zod';
import { renewalId } from '#cluster/certificate.ts';
import { chainIn } from '#cluster/certificates/pair.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { CertificateRecord } from '../../records/certificate-record.ts';
import type { Certificates } from '../../records/certificates.ts';
import type { CertificateDeps } from '../deps.ts';
import { transport } from './authority.ts';
import { nextAsk, nextTry, pointIn } from './schedule.ts';

/**
 * When the authority wants a certificate to be renewed (ARI, RFC 9773). It is asked right after the certificate was issued
 * (§4.3), and again when its `Retry-After` says; the node that asks writes the window into the record, and a random point in
 * it, which stays as long as the window does (§4.2). schedule.ts makes the time of the renewal of it.
 *
 * An authority that offers none, or does not answer, is remembered by this node alone: then another one asks, which may
 * reach it.
 */

const Directory = z.object({ renewalInfo: z.url({ protocol: /^https$/ }).optional() });
const RenewalInfo = z.object({
  suggestedWindow: z.object({
    start: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
    end: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
  }),
  explanationURL: z.string().max(500).optional().catch(undefined),
});

const DAY_MS = 86_400_000;
/** Bytes of an answer. */
const LONGEST_ANSWER = 65_536;

/** When this node asks again about the certificate with this fingerprint; `failures` in a row. */
type Waiting = { fingerprint: string; until: number; failures: number };

export class Suggestions {
  readonly #deps: Pick<CertificateDeps, 'certificates' | 'log'>;
  readonly #waiting = new Map<string, Waiting>();

  constructor(deps: Pick<CertificateDeps, 'certificates' | 'log'>) {
    this.#deps = deps;
  }

  /** Whether the authority should be asked now; `now` in ms since 1970. */
  isDue({ name, current, acme }: CertificateRecord, now: number): boolean {
    if (current?.origin !== 'acme') return false;
    const { fingerprint256 } = chainIn(`certificate ${name}`, current.chain)[0];
    const waiting = this.#waiting.get(name);
    if (waiting?.fingerprint === fingerprint256 && now < waiting.until) return false;
    const { suggested } = acme ?? {};
    return suggested?.fingerprint !== fingerprint256 || now >= (suggested.next ?? nextAsk(undefined, suggested.asked));
  }

  /** Ask it, and write what it says. Trouble is logged. */
  async ask({ name, acme }: OrderedCertificate, { current }: CertificateRecord): Promise<void> {
    if (current === undefined) return;
    const [{ fingerprint256: fingerprint, raw }] = chainIn(`certificate ${name}`, current.chain);
    const before = this.#waiting.get(name);
    const failures = before?.fingerprint === fingerprint ? before.failures : 0;
    try {
      const info = await askAuthority(acme, raw);
      if (info === undefined) this.#waiting.set(name, { fingerprint, until: Date.now() + DAY_MS, failures: 0 });
      else {
        this.#waiting.delete(name);
        await suggest(this.#deps.certificates, name, { fingerprint, ...info });
      }
    } catch (error) {
      const until = nextTry(failures + 1, Date.now(), Math.random());
      this.#waiting.set(name, { fingerprint, until, failures: failures + 1 });
      const text = 'the authority does not say when the certificate should be renewed: it is asked again';
      this.#deps.log.warn({ certificate: name, error: errorText(error) }, text);
    }
  }
}

type Info = { start: number; end: number; retryAfter: string | undefined; explanation: string | undefined };

/** Undefined where the authority does not offer it, for this certificate or at all. Fails with `acme-failed`. */
async function askAuthority(acme: OrderedCertificate['acme'], certificate: Buffer): Promise<Info | undefined> {
  const id = renewalId(certificate);
  if (id === undefined) return undefined;
  const { axios } = await transport(acme);
  const get = (url: string) =>
    axios.get(url, { validateStatus: null, maxContentLength: LONGEST_ANSWER, maxRedirects: 0 });
  const directory = await get(acme.directory);
  const offered = Directory.safeParse(directory.data);
  if (directory.status !== 200 || !offered.success) throw answered(directory.status, 'its directory');
  const { renewalInfo } = offered.data;
  if (renewalInfo === undefined) return undefined;
  const { status, data, headers } = await get(`${renewalInfo.replace(/\/$/, '')}/${id}`);
  if (status === 404) return undefined;
  const info = RenewalInfo.safeParse(data);
  if (status !== 200 || !info.success) throw answered(status, 'renewal information');
  const { start, end } = info.data.suggestedWindow;
  // As if there was no answer (RFC 9773 §4.2).
  if (end <= start)
    throw new SealpostError('acme-failed', 'the authority suggests a window that ends before it begins');
  const retryAfter = headers['retry-after'];
  const text = typeof retryAfter === 'string' ? retryAfter : undefined;
  return { start, end, retryAfter: text, explanation: info.data.explanationURL };
}

const answered = (status: number, what: string): SealpostError =>
  new SealpostError(
    'acme-failed',
    `the authority answers ${status} to a question for ${what}, or not as RFC 9773 says`,
  );

async function suggest(
  certificates: Certificates,
  name: string,
  { fingerprint, start, end, retryAfter, explanation }: Info & { fingerprint: string },
): Promise<void> {
  const [asked, chance] = [Date.now(), Math.random()];
  await certificates.update(name, (record) => {
    if (record?.current === undefined) return record;
    if (chainIn(`certificate ${name}`, record.current.chain)[0].fingerprint256 !== fingerprint) return record;
    const before = record.acme?.suggested;
    const stays = before?.fingerprint === fingerprint && before.start === start && before.end === end;
    const at = stays ? before.at : pointIn(start, end, chance);
    const next = nextAsk(retryAfter, asked);
    const suggested = { fingerprint, at, asked, start, end, next, ...(explanation !== undefined && { explanation }) };
    return { ...record, acme: { term: 0, ...record.acme, suggested } };
  });
}
