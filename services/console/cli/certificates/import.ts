import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import { isFault, privateKeyIn } from '#cluster/config/pem.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { SealpostError } from '#shared/errors.ts';
import { CertificateName, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import type { Finding } from '../../reports/doctor/finding.ts';
import { examineTls } from '../../reports/tls/checks.ts';
import { gatherTls } from '../../reports/tls/facts.ts';
import { type CommonOptions, print, readConfig, withStore } from '../context.ts';
import { usageError } from '../exit.ts';
import { findingLine } from '../findings.ts';
import { describeCertificate } from './list.ts';

/**
 * `sealpost certificates import`: the files are checked as `sealpost tls check` does, and what is an error there is not
 * taken. The private key never crosses the bus in clear: it is wrapped here, with the first NEK of `tls.nek`.
 */

type ImportOptions = CommonOptions & { certificate: string; key: string };

/** What does not matter to a certificate of the cluster: it may be for other names than that of this machine. */
const ELSEWHERE = new Set(['hostname-missing']);

export async function importCertificate(name: string, options: ImportOptions): Promise<void> {
  const parsed = CertificateName.safeParse(name);
  if (!parsed.success) throw usageError(`"${name}" is not a name: ${parsed.error.issues[0]?.message ?? ''}`);
  const config = await readConfig(options, ['node', 'bus', 'tls']);
  const [nek] = await loadTlsNeks(config);
  const files = { certificate: resolve(options.certificate), key: resolve(options.key) };
  const findings = await examineFiles(config, files);
  const chain = await readFile(files.certificate, 'utf8');
  const key = privateKeyIn(await readFile(files.key), files.key);
  if (isFault(key)) throw new SealpostError('tls-material', `${files.key} ${key.text}: ${key.help}`);
  const pem = certificatesOnly(chain);
  const wrapped = wrapCertificateKey(nek, { name, chain: pem }, key);
  const status = await withStore(options, (store) => store['certificate-import']({ name, chain: pem, wrapped }));
  print(options, { certificate: status, findings }, () =>
    [`imported ${describeCertificate(status)}`, ...findings.map(findingLine)].join('\n'),
  );
}

/** What is to be said of the files. Fails with `tls-material` where one of it is an error. */
async function examineFiles(config: Config, files: { certificate: string; key: string }) {
  const { bus: _, ...rest } = config;
  const facts = await gatherTls({ ...rest, tls: { ...files, names: [] }, bus: { servers: [] } }, Date.now());
  const findings = examineTls(facts).filter(({ check }) => !ELSEWHERE.has(check));
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return findings;
  throw new SealpostError('tls-material', ['the certificate is not imported', ...errors.map(sentence)].join('\n'));
}

const sentence = ({ about, text, help }: Finding): string => `${about} ${text}: ${help}`;

/** A file may have a private key, or text for people, beside the certificates: neither leaves this machine. */
function certificatesOnly(text: string): string {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => `${block.replaceAll('\r', '')}\n`).join('');
}
