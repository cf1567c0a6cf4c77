import type { X509Certificate } from 'node:crypto';
import { commonName, keyText } from '#cluster/certificates/describe.ts';
import { assertInTime, chainIn, hostNames, usablePair } from '#cluster/certificates/pair.ts';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { describeNek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { unwrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import { behindOf } from '../records/behind.ts';
import type { AcmeState, CertificateRecord } from '../records/certificate-record.ts';
import { pageOf } from '../records/pages.ts';
import { renewalOf } from './acme/schedule.ts';
import type { CertificateDeps, CertificateOperation } from './deps.ts';

/** Operations on the certificates of the cluster. */

/** Certificates in one page: one with a hundred names has some 30 KB. */
const PAGE_SIZE = 25;

export const certificateList: CertificateOperation<'certificate-list'> = (
  { certificates, map, settings },
  { after },
) => {
  const listed = certificates.all().map((record) => ({ place: record.name, record }));
  const { page, next } = pageOf(listed, after, PAGE_SIZE);
  return {
    node: settings.current.node.name,
    certificates: page.map(({ record }) => certificateStatus(record, settings)),
    ...behindOf(map),
    ...(next === undefined ? {} : { next }),
  };
};

export const certificateShow: CertificateOperation<'certificate-show'> = ({ certificates, settings }, { name }) => {
  const record = requireCertificate(certificates.get(name), name);
  const chain = record.current?.chain;
  return { ...certificateStatus(record, settings), ...(chain === undefined ? {} : { chain }) };
};

/** Checked as a listener will: what no listener would use is not stored in place of what they use. */
export const certificateImport: CertificateOperation<'certificate-import'> = async (deps, request) => {
  const { name, chain, wrapped } = request;
  const neks = await tlsNeks(deps);
  const what = `certificate ${name}`;
  assertInTime(what, usablePair(what, chain, unwrapCertificateKey(neks, request)), Date.now());
  const { name: node } = deps.settings.current.node;
  const record = await deps.certificates.update(name, (before) => {
    const same = before?.current?.chain === chain && before.current.wrapped.nekFingerprint === wrapped.nekFingerprint;
    if (same) return before;
    const current = { chain, wrapped, origin: 'import' as const, since: Date.now(), node };
    return { ...before, name, current, deleted: undefined };
  });
  const status = certificateStatus(requireCertificate(record, name), deps.settings);
  deps.log.info({ certificate: name, ...summary(status) }, 'certificate imported');
  return status;
};

export const certificateOrder: CertificateOperation<'certificate-order'> = async (deps, { name }) => {
  const { certificates, settings, log } = deps;
  if (!settings.current.certificates.some((entry) => entry.name === name)) {
    const text = `node ${settings.current.node.name} has no ${name} in its configuration (certificates): add what is to be ordered there`;
    throw new SealpostError('not-found', text);
  }
  const record = await certificates.update(name, (before) => {
    const acme = { term: 0, ...before?.acme, asked: Date.now() };
    return { name, ...before, acme };
  });
  log.info({ certificate: name }, 'certificate will be ordered, as an administrator asked for');
  return certificateStatus(requireCertificate(record, name), settings);
};

export const certificateDelete: CertificateOperation<'certificate-delete'> = async (deps, { name, force }) => {
  const { certificates, settings, log } = deps;
  if (settings.current.tls?.credential === name && !force) {
    const text = `certificate ${name} is the default of the listeners (tls.credential): name another one there first`;
    throw new SealpostError('in-use', text);
  }
  if (settings.current.certificates.some((entry) => entry.name === name)) {
    const text = `certificate ${name} would be ordered again: remove it from certificates in the configuration first`;
    throw new SealpostError('in-use', text);
  }
  const left = await certificates.update(name, (record) => leftOfDeleted(requireCertificate(record, name), force));
  log.info({ certificate: name }, 'certificate deleted, as an administrator ordered');
  const records = [...new Set(left?.acme?.challenges?.map((challenge) => challenge.name))];
  return records.length === 0 ? {} : { records };
};

/**
 * TXT records of orders that may still be in DNS: nobody else knows of them, and they would be there for ever. An order that is
 * under way loses its claim. `force`: those that are left already are given up.
 */
function leftOfDeleted({ name, acme, deleted }: CertificateRecord, force: boolean): CertificateRecord | undefined {
  const { challenges = [], term = 0 } = acme ?? {};
  if (challenges.length === 0 || (deleted && force)) return undefined;
  return { name, deleted: true, acme: { term: term + 1, challenges } };
}

/** Fails with `not-found`. */
function requireCertificate(record: CertificateRecord | undefined, name: string): CertificateRecord {
  if (record !== undefined) return record;
  throw new SealpostError(
    'not-found',
    `there is no certificate ${name}: "sealpost certificates list" shows what there is`,
  );
}

/** Fails with `no-nek`. */
async function tlsNeks({ settings }: CertificateDeps) {
  try {
    return await loadTlsNeks(settings.current);
  } catch (error) {
    throw new SealpostError('no-nek', `node ${settings.current.node.name}: ${errorText(error)}`);
  }
}

function certificateStatus(record: CertificateRecord, settings: Settings): CertificateStatus {
  const { name, current, acme } = record;
  const renewal = acme === undefined ? {} : { renewal: renewalStatus(record, acme, settings) };
  if (current === undefined) return { name, ...renewal, ...(record.deleted && { deleted: true }) };
  const { origin, since, node, wrapped } = current;
  const [own] = chainIn(`certificate ${name}`, current.chain);
  const nek = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  return { name, current: { ...described(own), origin, since, node, nek }, ...renewal };
}

function renewalStatus(record: CertificateRecord, acme: AcmeState, settings: Settings) {
  const { node, asked, problem } = acme;
  const entry = settings.current.certificates.find(({ name }) => name === record.name);
  return {
    ...renewalOf(record),
    ...windowOf(record, acme),
    ...(entry === undefined ? {} : { challenge: entry.acme.challenge }),
    ...(node === undefined ? {} : { ordering: node }),
    ...(asked === undefined ? {} : { asked }),
    ...(problem === undefined
      ? {}
      : { problem: { text: problem.text, since: problem.since, tries: problem.tries, next: problem.next } }),
  };
}

/** What the authority suggests, where that is for the current certificate. */
function windowOf(record: CertificateRecord, { suggested }: AcmeState) {
  if (suggested?.start === undefined || suggested.end === undefined || renewalOf(record)?.why === 'life') return {};
  const { start, end, explanation } = suggested;
  return { window: { start, end, ...(explanation === undefined ? {} : { explanation }) } };
}

function described(own: X509Certificate) {
  return {
    names: hostNames(own),
    issuer: commonName(own.issuer),
    from: own.validFromDate.getTime(),
    until: own.validToDate.getTime(),
    key: keyText(own.publicKey),
    fingerprint: own.fingerprint256,
  };
}

function summary({ current }: CertificateStatus) {
  const { names, until, fingerprint } = current ?? { until: 0 };
  return { names, fingerprint, until: new Date(until).toISOString() };
}
