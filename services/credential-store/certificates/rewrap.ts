import { loadTlsNeks } from '#cluster/config/nek.ts';
import { describeNek, type Nek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { unwrapCertificateKey, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import type { CertificateRecord } from '../records/certificate-record.ts';
import { accountKey } from './acme/account.ts';
import type { CertificateOperation } from './deps.ts';

/**
 * Private keys of certificates, and of accounts at authorities, from one NEK of `tls.nek` to its first one. Each record is
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

const isPending = ({ current }: CertificateRecord, { fingerprint }: Nek): boolean =>
  current !== undefined && current.wrapped.nekFingerprint !== fingerprint;

/** Fails with `nek-mismatch` or `key-damaged`. */
function rewrapped(record: CertificateRecord, neks: readonly [Nek, ...Nek[]]): CertificateRecord {
  const { name, current } = record;
  if (current === undefined || !isPending(record, neks[0])) return record;
  const key = unwrapCertificateKey(neks, { name, ...current });
  return {
    ...record,
    current: { ...current, wrapped: wrapCertificateKey(neks[0], { name, chain: current.chain }, key) },
  };
}
