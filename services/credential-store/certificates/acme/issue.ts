import type { KeyObject } from 'node:crypto';
import { createRequest, renewalId } from '#cluster/certificate.ts';
import { assertInTime, chainIn, hostNames, usablePair } from '#cluster/certificates/pair.ts';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type StoredCertificate, unwrapCertificateKey, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import type { AcmeState } from '../../records/certificate-record.ts';
import type { CertificateDeps } from '../deps.ts';
import { accountKey } from './account.ts';
import { orderFrom } from './authority.ts';
import type { HttpChallengeDeps } from './http-challenge.ts';
import { type BegunOrder, unwrapOrderKey, wrapOrderKey } from './order-key.ts';
import { Proofs } from './proofs.ts';

export type IssueDeps = CertificateDeps &
  HttpChallengeDeps & {
    /** Change the record of the certificate, as its claimer. */
    remember: (part: Pick<AcmeState, 'challenges' | 'tokens' | 'order'>) => Promise<void>;
  };

/**
 * One order, from the key to a certificate that has passed the checks of a listener; its private key leaves this function
 * wrapped only. `before`: what orders before this one left.
 *
 * The certificate that takes the place of another one has the key of that one (RFC 7671 §8.1): a TLSA record 3 1 1 names
 * the key, so it stays true over renewals. With another key, servers that follow DANE would keep all mail for us until
 * somebody published its record, and caches let go of the one before.
 *
 * An order that a node did not end, because it died or the authority did not answer, is gone on with: its URL and the key of
 * its certificate stand in the record before anything is proven for it. So the authority makes no certificate twice, where
 * it was made and nobody fetched it. What does not pass the checks is not fetched again: that ends the order.
 */
export async function issue(
  deps: IssueDeps,
  entry: OrderedCertificate,
  before: Pick<AcmeState, 'challenges' | 'order' | 'suggested'>,
): Promise<StoredCertificate> {
  const { name, names, acme } = entry;
  const { settings, certificates, remember } = deps;
  const neks = await loadTlsNeks(settings.current);
  const account = await accountKey(certificates, acme.directory, neks);
  const begun = usableOrder(deps, neks, entry, before.order);
  const proofs = new Proofs(deps, entry, before.challenges ?? []);
  let key = begun?.key;
  const requestOf = async (url: string): Promise<string> => {
    if (url === begun?.url) return (await createRequest(names, begun.key)).request;
    const made = await createRequest(names, currentKey(deps, neks, name));
    key = made.key;
    const wrapped = wrapOrderKey(neks[0], name, url, key);
    await remember({ order: { url, directory: acme.directory, names, wrapped, since: Date.now() } });
    return made.request;
  };
  try {
    const replaces = replacedId(deps, name, before.suggested);
    const chain = await orderFrom(acme, account, {
      names,
      begun,
      replaces,
      requestOf,
      prove: proofs.prove,
    });
    if (key === undefined) throw new SealpostError('acme-failed', 'the authority made a certificate for no request');
    await checked(entry, chain, key).catch(async (error: unknown) => {
      await remember({ order: undefined });
      throw error;
    });
    return { name, chain, wrapped: wrapCertificateKey(neks[0], { name, chain }, key) };
  } finally {
    await proofs.clear();
  }
}

/** Fails with `acme-failed` or `tls-material`. */
async function checked({ names, acme }: OrderedCertificate, chain: string, key: KeyObject): Promise<void> {
  const what = `the certificate that ${new URL(acme.directory).host} made`;
  const made = usablePair(what, chain, key);
  assertInTime(what, made, Date.now());
  const missing = names.find((wanted) => !hostNames(made[0]).includes(wanted));
  if (missing !== undefined) throw new SealpostError('acme-failed', `${what} is not for ${missing}`);
}

/** The identifier of the current certificate, where the authority has renewal information on it; else it may be another's. */
function replacedId({ certificates }: IssueDeps, name: string, suggested: AcmeState['suggested']): string | undefined {
  const current = certificates.get(name)?.current;
  if (current === undefined) return undefined;
  const [own] = chainIn(`certificate ${name}`, current.chain);
  return suggested?.fingerprint === own.fingerprint256 ? renewalId(own.raw) : undefined;
}

function currentKey({ certificates }: IssueDeps, neks: readonly Nek[], name: string): KeyObject | undefined {
  const current = certificates.get(name)?.current;
  return current && unwrapCertificateKey(neks, { name, ...current });
}

/** The order of before, where it is for what is wanted now and its key opens. */
function usableOrder(
  deps: IssueDeps,
  neks: readonly Nek[],
  { name, names, acme }: OrderedCertificate,
  order: BegunOrder | undefined,
): { url: string; since: number; key: KeyObject } | undefined {
  if (order === undefined || order.directory !== acme.directory) return undefined;
  if (order.names.toSorted().join() !== names.toSorted().join()) return undefined;
  try {
    const key = unwrapOrderKey(neks, name, order);
    // Another certificate was imported meanwhile, with another key.
    const { url, since = Date.now() } = order;
    return currentKey(deps, neks, name)?.equals(key) === false ? undefined : { url, since, key };
  } catch (error) {
    deps.log.warn({ certificate: name, error: errorText(error) }, 'the order that was begun is not gone on with');
    return undefined;
  }
}
