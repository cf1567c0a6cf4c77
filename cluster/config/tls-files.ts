import type { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { errorCode, errorText } from '#shared/errors.ts';
import { stsHost } from '#shared/mta-sts/own-policy.ts';
import { certificatesIn, type Fault, isFault, privateKeyIn } from './pem.ts';
import type { Problem } from './problems/problem.ts';
import { effectivePolicy } from './rules/servers/mta-sts.ts';
import type { Config } from './schema/schema.ts';
import { modeWarning, unreadable } from './secrets.ts';

/**
 * Checks of certificates and their keys: whatever would keep TLS from using them is a problem before the start, with what
 * to do. An expired certificate is only a warning, because mail must go on.
 */

export type TlsFindings = { problems: Problem[]; warnings: string[] };

/** The reasons of OpenSSL (its security level 2) for what it does not use, in words. */
const REFUSED: Record<string, string> = {
  ERR_SSL_EE_KEY_TOO_SMALL: 'its key is too short: TLS needs RSA of 2048 bits or more, or an elliptic curve',
  ERR_SSL_CA_KEY_TOO_SMALL: 'the key of an authority in its chain is too short: TLS needs RSA of 2048 bits or more',
  ERR_SSL_CA_MD_TOO_WEAK: 'it or an authority in its chain is signed with SHA-1 or MD5, which TLS does not take',
};

/** A certificate (with its chain) and its private key, in the options `certificate` and `key` below `path`. */
export async function checkPair(path: PropertyKey[], pair: { certificate: string; key: string }): Promise<TlsFindings> {
  const findings: TlsFindings = { problems: [], warnings: [] };
  const at = (option: string): PropertyKey[] => [...path, option];
  const certificate = await load(findings, at('certificate'), pair.certificate, certificatesIn);
  const key = await load(findings, at('key'), pair.key, privateKeyIn);
  if (certificate === undefined || key === undefined) return findings;
  const [leaf] = certificate.value;
  if (!leaf.checkPrivateKey(key.value)) {
    const message = `file ${pair.key} is not the key of the certificate in ${pair.certificate}`;
    findings.problems.push({ path: at('key'), message });
  } else {
    const refused = refusal(certificate.bytes, key.bytes);
    const message = `the certificate in ${pair.certificate} cannot be used: ${refused}`;
    if (refused !== undefined) findings.problems.push({ path: at('certificate'), message });
  }
  const { validToDate } = leaf;
  if (validToDate.getTime() < Date.now()) {
    const day = validToDate.toISOString().slice(0, 10);
    findings.warnings.push(`the certificate in ${pair.certificate} expired on ${day}`);
  }
  const warning = await modeWarning(pair.key);
  if (warning !== undefined) findings.warnings.push(warning);
  return findings;
}

/** The certificates of authorities in one file. */
export async function checkAuthorities(path: PropertyKey[], file: string): Promise<TlsFindings> {
  const findings: TlsFindings = { problems: [], warnings: [] };
  await load(findings, path, file, certificatesIn);
  return findings;
}

/**
 * Names that senders will look for in our certificates because of our MTA-STS policy (RFC 8461 §3.3, §4.1), where these do
 * not have them: of the mail exchangers, those that this node can be.
 */
export async function stsWarnings(config: Config): Promise<string[]> {
  const { tls, node, 'mta-sts': section } = config;
  const policy = effectivePolicy(config);
  if (tls === undefined || policy === undefined || policy.mode === 'none') return [];
  // With `nek`, the cluster may have one for each of them, which no file tells.
  if (tls.nek !== undefined) return [];
  const own = [node.hostname, ...tls.names.flatMap(({ hosts }) => hosts)];
  const names = [
    ...policy.mx.filter((name) => own.includes(name)),
    ...(section?.tls === 'implicit' ? policy.domains.map(stsHost) : []),
  ];
  const warnings: string[] = [];
  for (const name of names) {
    const file = tls.names.find(({ hosts }) => hosts.includes(name))?.certificate ?? tls.certificate;
    if (file === undefined) continue;
    const found = await readFile(file).then(
      (bytes) => certificatesIn(bytes, file),
      () => undefined,
    );
    if (found === undefined || isFault(found) || isCertificateFor(found[0], name)) continue;
    warnings.push(`the certificate in ${file} is not for ${name}: senders that follow the policy of mta-sts refuse it`);
  }
  return warnings;
}

/** RFC 9525 §6.3: `*` stands for one whole label, the first; the common name does not count. */
export function isCertificateFor(certificate: X509Certificate, host: string): boolean {
  return certificate.checkHost(host, { subject: 'never', partialWildcards: false }) !== undefined;
}

/** What TLS says against this pair. */
export function refusal(cert: Buffer, key: Buffer): string | undefined {
  try {
    createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    return REFUSED[errorCode(error) ?? ''] ?? errorText(error);
  }
}

async function load<T extends object>(
  { problems }: TlsFindings,
  path: PropertyKey[],
  file: string,
  parse: (bytes: Buffer, file: string) => T | Fault,
): Promise<{ bytes: Buffer; value: T } | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    problems.push({ path, message: unreadable(file, error) });
    return undefined;
  }
  const value = parse(bytes, file);
  if (!isFault(value)) return { bytes, value };
  problems.push({ path, message: `file ${file} ${value.text}: ${value.help}` });
  return undefined;
}
