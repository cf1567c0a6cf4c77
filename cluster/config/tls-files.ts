import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Problem } from './problems/problem.ts';
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
  const certificate = await load(findings, at('certificate'), pair.certificate, certificateOf);
  const key = await load(findings, at('key'), pair.key, privateKeyOf);
  if (certificate === undefined || key === undefined) return findings;
  if (!certificate.value.checkPrivateKey(key.value)) {
    const message = `file ${pair.key} is not the key of the certificate in ${pair.certificate}`;
    findings.problems.push({ path: at('key'), message });
  } else {
    const refused = refusal(certificate.bytes, key.bytes);
    const message = `the certificate in ${pair.certificate} cannot be used: ${refused}`;
    if (refused !== undefined) findings.problems.push({ path: at('certificate'), message });
  }
  const { validToDate } = certificate.value;
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
  await load(findings, path, file, certificateOf);
  return findings;
}

/** What TLS says against this pair. */
function refusal(cert: Buffer, key: Buffer): string | undefined {
  try {
    createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    return REFUSED[errorCode(error) ?? ''] ?? errorText(error);
  }
}

async function load<T>(
  { problems }: TlsFindings,
  path: PropertyKey[],
  file: string,
  parse: (bytes: Buffer, file: string) => T | string,
): Promise<{ bytes: Buffer; value: Exclude<T, string> } | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    problems.push({ path, message: unreadable(file, error) });
    return undefined;
  }
  const value = parse(bytes, file);
  if (typeof value !== 'string') return { bytes, value: value as Exclude<T, string> };
  problems.push({ path, message: value });
  return undefined;
}

/** The first certificate of a PEM file, or what is wrong. */
function certificateOf(bytes: Buffer, file: string): X509Certificate | string {
  const parsed = attempt(() => new X509Certificate(bytes));
  if (parsed === undefined) return `file ${file} holds no PEM certificate`;
  if (isPem(bytes)) return parsed;
  return `file ${file} is a certificate in DER form, and PEM is needed: openssl x509 -inform DER -in ${file} -out ${file}.pem`;
}

/** The private key of a PEM file, or what is wrong. */
function privateKeyOf(bytes: Buffer, file: string): KeyObject | string {
  if (/^(-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED)/m.test(bytes.toString('latin1'))) {
    return `the private key in file ${file} is encrypted, and nobody is there to enter a passphrase: openssl pkey -in ${file} -out ${file}.plain makes one without`;
  }
  const parsed = attempt(() => createPrivateKey(bytes));
  if (parsed !== undefined) return parsed;
  const isDer = (['pkcs8', 'pkcs1', 'sec1'] as const).some(
    (type) => attempt(() => createPrivateKey({ key: bytes, format: 'der', type })) !== undefined,
  );
  if (!isDer) return `file ${file} holds no PEM private key`;
  return `file ${file} is a private key in DER form, and PEM is needed: openssl pkey -inform DER -in ${file} -out ${file}.pem`;
}

const isPem = (bytes: Buffer): boolean => bytes.includes('-----BEGIN ');

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
