import { loadTlsNeks } from '#cluster/config/nek.ts';
import { describeNek, type Nek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type StoredCertificate, unwrapCertificateKey, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import type { CertificateRecord } from '../records/certificate-record.ts';
import { accountKey } from './acme/account.ts';
import { type BegunOrder, unwrapOrderKey, wrapOrderKey } from './acme/order-key.ts';
import type { CertificateOperation } from './deps.ts';

/**
 * Private keys of certificates, of those that are being ordered, and of accounts at authorities, from one NEK of `tls.nek` to its first one. Each record is
 * one compare-and-set, and opens with one of the two NEKs at any time: what was interrupted is finished by a repetition, on
 * this node or another one. It is done when an administrator says so, since only then every node has the new NEK in front.
 */
export const certificateRewrap: CertificateOperation<'certificate-rewrap'> = async (deps, { nek, write }) => {
  const { certificates, settings, log } = deps;
  const { name: node } = settings.current.node;
  const neks = await loadTlsNeks(settings.current).catch((error: unknown) => {
    throw new SealpostError('nek-missing-on-node', `node ${node}: ${errorText(error)}`);
  });
  const [current] = neks;
  if (current.fingerprint !== nek) {
    const text = `tls.nek of node ${node} begins with NEK ${describeNek(current)}: put the new one in front there, and keep the old one`;
    throw new SealpostError('nek-missing-on-node', text);
  }
  const pending = certificates.all().filter((record) => isPending(record, current));
  const accounts = certificates.accounts().filter(({ wrapped }) => wrapped.nekFingerprint !== nek);
  if (write) {
    for (const { name } of pending) {
      await certificates.update(name, (record) => record && rewrapped(record, neks));
    }
    for (const { directory } of accounts) await accountKey(certificates, directory, neks);
    log.info({ nek: describeNek(current), certificates: pending.length }, 'keys of certificates re-wrapped');
  }
  return { node, certificates: pending.length, accounts: accounts.length };
};

const isPending = ({ current, acme }: CertificateRecord, { fingerprint }: Nek): boolean =>
  [current, acme?.order].some((one) => one !== undefined && one.wrapped.nekFingerprint !== fingerprint);

/** Fails with `nek-mismatch` or `key-damaged`. */
function rewrapped(record: CertificateRecord, neks: readonly [Nek, ...Nek[]]): CertificateRecord {
  if (!isPending(record, neks[0])) return record;
  const { name, current, acme } = record;
  return {
    ...record,
    ...(current && { current: { ...current, wrapped: rewrappedKey(neks, name, current) } }),
    ...(acme && { acme: { ...acme, order: acme.order && rewrappedOrder(neks, name, acme.order) } }),
  };
}

function rewrappedKey(neks: readonly [Nek, ...Nek[]], name: string, current: Omit<StoredCertificate, 'name'>) {
  const key = unwrapCertificateKey(neks, { name, ...current });
  return wrapCertificateKey(neks[0], { name, chain: current.chain }, key);
}

/** Undefined where its key does not open: nobody can go on with it (issue.ts). */
function rewrappedOrder(neks: readonly [Nek, ...Nek[]], name: string, order: BegunOrder): BegunOrder | undefined {
  try {
    return { ...order, wrapped: wrapOrderKey(neks[0], name, order.url, unwrapOrderKey(neks, name, order)) };
  } catch (error) {
    if (error instanceof SealpostError) return undefined;
    throw error;
  }
}
